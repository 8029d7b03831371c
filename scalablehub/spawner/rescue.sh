# Starts a server, also when its user's home takes no more files.
#
#   sh rescue.sh COMMAND [ARGUMENT ...]
#
# Where the home takes a few files, COMMAND runs as if this had not been here. Where it does not, COMMAND runs in
# rescue mode: what Jupyter writes to start goes to temporary space, a banner says so, and what is deleted in the
# file browser is really gone. Needs a POSIX shell with the usual small tools; without them COMMAND just runs.
#
# Sets for COMMAND, in rescue mode only: SCALABLEHUB_RESCUE=1 and SCALABLEHUB_RESCUE_WHY, one of
#   full       no room, no quota, or too many files
#   read-only  the file system takes no writes
#   denied     the home belongs to somebody else
#   broken     the home answers with an error
#   away       the home does not answer within SCALABLEHUB_RESCUE_PATIENCE seconds (20)
# In the last two, and where there is nothing to read, HOME is temporary space as well.
# With a patience of 0 the home is not looked at, and there is no rescue mode.

patience=${SCALABLEHUB_RESCUE_PATIENCE:-20}
home=${HOME:-}
mark="$home ${JUPYTERHUB_SERVICE_PREFIX:-} ${JUPYTERHUB_API_URL:-}"

# takes FOLDER: whether half a megabyte in eight files can be written there, and what was said if not.
# Network file systems refuse only when a file is closed or synced; compressing ones take any number of zeros.
takes() (
    LC_ALL=C
    export LC_ALL
    mkdir -p "$1" || exit 1
    probe=$(mktemp -d "$1/.scalablehub-probe-XXXXXX") || exit 1
    code=0
    for file in 1 2 3 4 5 6 7 8; do
        dd if=/dev/urandom of="$probe/$file" bs=65536 count=1 conv=fsync || { code=1; break; }
    done
    rm -rf "$probe"
    exit "$code"
) 2>&1

# in_time COMMAND...: sets `said` and `code` to what it says and returns; to `late` if it takes too long.
# A file system that hangs cannot be interrupted, only left behind.
in_time() {
    {
        "$@" >"$space/said"
        echo "$?" >"$space/code.new"
        mv "$space/code.new" "$space/code"
    } >/dev/null 2>&1 &
    # Not every sleep knows parts of a second.
    if sleep 0.05 2>/dev/null; then
        pause=0.05 ticks=$((patience * 20))
    else
        pause=1 ticks=$patience
    fi
    while [ ! -f "$space/code" ] && [ "$ticks" -gt 0 ]; do
        sleep "$pause" 2>/dev/null || wait "$!"
        ticks=$((ticks - 1))
    done
    code=late
    if [ -f "$space/code" ]; then
        wait "$!"
        read -r code <"$space/code"
    fi
    said=$(cat "$space/said")
    rm -f "$space/said" "$space/code"
}

# in_home PATH: whether it lies in the home.
in_home() {
    case $1/ in "$home"/*) true ;; *) false ;; esac
}

# make_space [CHECK]: sets `space` to a new folder of one's own outside the home; with CHECK, one that takes files.
make_space() {
    for folder in "${TMPDIR:-/tmp}" /tmp /var/tmp /dev/shm; do
        in_home "$folder" && continue
        space=$(mktemp -d "$folder/scalablehub-rescue-XXXXXX" 2>/dev/null) || continue
        [ -z "${1:-}" ] && return 0
        takes "$space" >/dev/null && return 0
        rm -rf "$space"
    done
    space=
    return 1
}

# What an earlier rescue of this server left behind.
forget_earlier() {
    for folder in "${TMPDIR:-/tmp}" /tmp /var/tmp /dev/shm; do
        in_home "$folder" && continue
        for earlier in "$folder"/scalablehub-rescue-*; do
            [ -d "$earlier" ] && [ ! -L "$earlier" ] && [ -O "$earlier" ] && [ -f "$earlier/of" ] || continue
            [ "$(cat "$earlier/of")" = "$mark" ] && rm -rf "$earlier"
        done
    done
}

# reason: says why the home does not take files, or nothing if that is unknown.
reason() {
    [ "$code" = late ] && { echo away; return; }
    case $said in
        *"No space left"* | *"uota exceeded"*) echo full ;;
        *"Read-only"*) echo read-only ;;
        *"ermission denied"* | *"not permitted"*) echo denied ;;
        *) echo broken ;;
    esac
}

# move_jupyter: has everything written to temporary space; what the home has is still read.
move_jupyter() {
    config=${JUPYTER_CONFIG_DIR:-$home/.jupyter}
    data=${JUPYTER_DATA_DIR:-${XDG_DATA_HOME:-$home/.local/share}/jupyter}
    JUPYTER_CONFIG_PATH=$space/config${JUPYTER_CONFIG_PATH:+:$JUPYTER_CONFIG_PATH}
    JUPYTER_PATH=$space/share${JUPYTER_PATH:+:$JUPYTER_PATH}
    mkdir "$space/config" "$space/share" "$space/jupyter" "$space/data" "$space/runtime" "$space/ipython" \
        "$space/cache" "$space/workspaces" "$space/settings"
    if [ "$reads" = yes ]; then
        JUPYTER_CONFIG_PATH=$JUPYTER_CONFIG_PATH:$config
        JUPYTER_PATH=$JUPYTER_PATH:$data
        cp -R "${JUPYTERLAB_SETTINGS_DIR:-$config/lab/user-settings}/." "$space/settings" 2>/dev/null
    else
        mkdir "$space/home"
        HOME=$space/home
        JUPYTERHUB_ROOT_DIR=$HOME
        PYTHONNOUSERSITE=1
        export HOME JUPYTERHUB_ROOT_DIR PYTHONNOUSERSITE
        cd "$HOME"
    fi
    JUPYTER_CONFIG_DIR=$space/jupyter
    JUPYTER_DATA_DIR=$space/data
    JUPYTER_RUNTIME_DIR=$space/runtime
    JUPYTERLAB_SETTINGS_DIR=$space/settings
    JUPYTERLAB_WORKSPACES_DIR=$space/workspaces
    IPYTHONDIR=$space/ipython
    XDG_CACHE_HOME=$space/cache
    export JUPYTER_CONFIG_PATH JUPYTER_PATH JUPYTER_CONFIG_DIR JUPYTER_DATA_DIR JUPYTER_RUNTIME_DIR
    export JUPYTERLAB_SETTINGS_DIR JUPYTERLAB_WORKSPACES_DIR IPYTHONDIR XDG_CACHE_HOME
    if [ -n "${TMPDIR:-}" ] && in_home "$TMPDIR"; then
        mkdir "$space/tmp"
        TMPDIR=$space/tmp
        export TMPDIR
    fi
    if [ -n "${XDG_RUNTIME_DIR:-}" ] && in_home "$XDG_RUNTIME_DIR"; then
        XDG_RUNTIME_DIR=$space/runtime
        export XDG_RUNTIME_DIR
    fi
}

# A trash in a full home takes nothing, or frees nothing. JupyterLab asks before it deletes, and says for good.
write_settings() {
    cat >"$space/config/jupyter_server_config.json" <<'END'
{"FileContentsManager": {"delete_to_trash": false, "always_delete_dir": true}}
END
}

# The banner is an extension that JupyterLab and Notebook load from JUPYTER_PATH, written as their bundler would.
write_banner() {
    banner=$space/share/labextensions/scalablehub-rescue
    mkdir -p "$banner/static"
    cat >"$banner/package.json" <<'END'
{"name": "scalablehub-rescue", "version": "1.0.0", "description": "Says that the home directory takes no files",
 "jupyterlab": {"_build": {"load": "static/rescue.js", "extension": "./extension"}}}
END
    {
        echo "const why = '$why';"
        cat <<'END'
(() => {
  const says = {
    full: ['Your home directory is full.', 'Your files are all here, but nothing can be saved until you delete some.'],
    'read-only': ['Your home directory can only be read.', 'Your files are all here, but nothing can be saved. Ask an admin of the hub.'],
    denied: ['Your home directory cannot be written.', 'It belongs to somebody else. Nothing can be saved. Ask an admin of the hub.'],
    broken: ['Your home directory answers with errors.', 'You are in an empty one, and what you save here is lost when the server stops. Ask an admin of the hub.'],
    away: ['Your home directory does not answer.', 'You are in an empty one, and what you save here is lost when the server stops. Ask an admin of the hub.'],
  }[why];
  const commands = [
    ['What takes the room, the largest last', 'du -ah ~ 2>/dev/null | sort -h | tail -n 30'],
    ['Where the most files are', 'du --inodes ~ 2>/dev/null | sort -n | tail -n 30'],
    ['Empty the trash, where deleted files may still be', 'rm -rf ~/.local/share/Trash'],
    ['Remove what programs can fetch or make again', 'rm -rf ~/.cache; conda clean --all --yes'],
    ['Remove old copies of notebooks', 'find ~ -type d -name .ipynb_checkpoints -prune -exec rm -rf {} +'],
  ];

  const make = (tag, text, ...children) => {
    const node = document.createElement(tag);
    node.textContent = text;
    node.append(...children);
    return node;
  };

  const activate = app => {
    const config = JSON.parse(document.getElementById('jupyter-config-data')?.textContent || '{}');
    const terminal = make('button', 'Open a terminal');
    terminal.type = 'button';
    // Terminals come with another extension, which may be loaded after this one.
    terminal.onclick = () => app.restored.then(() => app.commands.execute('terminal:create-new'));
    const home = make('a', 'stop your server and start it again');
    home.href = `${config.hubHost || ''}${config.hubPrefix || '/hub/'}home`;
    home.target = '_blank';

    const banner = make('aside', '');
    banner.id = 'scalablehub-rescue';
    banner.setAttribute('role', 'status');
    const line = make('p', '', make('strong', `Rescue mode: ${says[0]}`), ` ${says[1]} `);
    banner.append(line);
    if (why === 'full') {
      const list = make('dl', '');
      for (const [what, command] of commands)
        list.append(make('dt', what), make('dd', '', make('code', command)));
      line.append(terminal);
      banner.append(make('details', '', make('summary', 'How to clean up'),
        make('p', 'Delete files in the file browser: here they are gone for good, and not moved to the trash. Or in a terminal:'),
        list));
    }
    banner.append(make('p', why === 'full' ? 'Then ' : 'Once that is mended, ', home,
      '. Until then your settings, the layout and the history of this session are in temporary space.'));

    const style = make('style', `
      #scalablehub-rescue { position: fixed; inset: 0 0 auto 0; z-index: 20; box-sizing: border-box; max-height: 60vh;
        overflow: auto; padding: 6px 14px; background: #7a1f00; color: #fff; font: 14px/1.45 system-ui, sans-serif; }
      #scalablehub-rescue p { margin: 2px 0; }
      #scalablehub-rescue a, #scalablehub-rescue summary { color: #fff; }
      #scalablehub-rescue a { text-decoration: underline; }
      #scalablehub-rescue summary { cursor: pointer; font-weight: 600; }
      #scalablehub-rescue button { margin-left: 8px; padding: 1px 10px; border: 1px solid #fff; border-radius: 3px;
        background: transparent; color: #fff; font: inherit; cursor: pointer; }
      #scalablehub-rescue dl { margin: 4px 0; } #scalablehub-rescue dd { margin: 0 0 4px 0; }
      #scalablehub-rescue code { user-select: all; padding: 1px 6px; background: #000; color: #fff; font: 13px monospace; }
      body > #main, body > .jp-LabShell { top: var(--scalablehub-rescue-height) !important; }
    `);
    document.head.append(style);
    document.body.prepend(banner);
    // The application lays itself out anew when the window's size changes, and only then.
    new ResizeObserver(() => {
      document.body.style.setProperty('--scalablehub-rescue-height', `${banner.offsetHeight}px`);
      window.dispatchEvent(new Event('resize'));
    }).observe(banner);
  };

  const plugin = { id: 'scalablehub-rescue:banner', autoStart: true, activate };
  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB['scalablehub-rescue'] = {
    init: () => {},
    get: () => Promise.resolve(() => ({ __esModule: true, default: plugin })),
  };
})();
END
    } >"$banner/static/rescue.js"
}

rescue() {
    make_space || return
    in_time takes "$home"
    rm -rf "$space"
    [ "$code" = 0 ] && return
    why=$(reason)
    if ! make_space check; then
        echo "scalablehub: no rescue: $home does not take files ($why), and no temporary folder does: mount one at /tmp" >&2
        return
    fi
    reads=yes
    case $why in
        broken | away) reads=no ;;
        *) [ -d "$home" ] && [ -r "$home" ] && [ -x "$home" ] || reads=no ;;
    esac
    echo "scalablehub: rescue mode: $home does not take files ($why); $space is used instead" >&2
    printf '%s\n' "$mark" >"$space/of"
    move_jupyter
    write_settings
    write_banner
    SCALABLEHUB_RESCUE=1
    SCALABLEHUB_RESCUE_WHY=$why
    export SCALABLEHUB_RESCUE SCALABLEHUB_RESCUE_WHY
}

case $patience in *[!0-9]* | "") patience=20 ;; esac
forget_earlier 2>/dev/null
[ -n "$home" ] && [ "$patience" -gt 0 ] && rescue
exec "$@"
