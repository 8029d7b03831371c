"""A dashboard that means harm to whoever opens it: what it tries, and how a scheduler comes to serve it.

The texts run in a scheduler and in a browser; a cluster's owner can have a scheduler serve anything.
"""

from __future__ import annotations

PAGE = """<!doctype html><title>hostile</title><body><script>
const inside = address => new Promise(done => {
  const frame = document.createElement('iframe');
  frame.onload = () => { try { done('read: ' + frame.contentDocument.title); } catch { done('cut off'); } };
  frame.src = address;
  document.body.append(frame);
});
const opened = address => new Promise(done => {
  const page = window.open(address);
  if (!page) { done('not opened'); return; }
  // A page that was cut off never tells that it is there.
  let left = 50;
  const look = setInterval(() => {
    try {
      if (page.location.href !== 'about:blank' && page.document.readyState === 'complete') {
        clearInterval(look);
        done('read: ' + page.location.pathname);
      }
    } catch { clearInterval(look); done('cut off'); }
    if (--left === 0) { clearInterval(look); done('cut off'); }
  }, 100);
});
const status = async (address, options) => String((await fetch(address, options)).status);
const tries = {
  'read cookies': async () => document.cookie,
  'plant a cookie': async () => document.cookie.includes('planted') ? 'planted' : 'not planted',
  'fetch a page of the hub': async () => {
    const answer = await fetch(HUB + '/hub/home');
    return /_xsrf/.test(await answer.text()) ? 'its secret' : 'nothing secret';
  },
  'ask the hub who one is': () => status(HUB + '/hub/api/user'),
  'make a token': () => status(HUB + '/hub/api/users/' + NAME + '/tokens', { method: 'POST', body: '{}' }),
  'use the server': () => status(HUB + '/user/' + NAME + '/api/contents'),
  'frame the hub': () => inside(HUB + '/hub/home'),
  'open the hub': () => opened(HUB + '/hub/token'),
  'open the server': () => opened(HUB + '/user/' + NAME + '/lab'),
  'read My clusters': () => status('/services/dask-gateway/'),
  'be a service worker for the hub': async () => {
    try { return (await navigator.serviceWorker.register('worker.js', { scope: '/' })).scope; }
    catch { return 'refused'; }
  },
};
addEventListener('load', async () => {
  const came = {};
  for (const [what, attempt] of Object.entries(tries)) {
    try { came[what] = await attempt(); } catch { came[what] = 'failed'; }
  }
  window.came = came;
});
</script></body>"""

SERVE = """
def serve(dask_scheduler, page):
    from tornado.web import RequestHandler

    class Hostile(RequestHandler):
        kind = "text/html"
        text = page

        def get(self):
            self.set_header("Content-Type", self.kind)
            self.set_header("Service-Worker-Allowed", "/")
            self.set_header("Cross-Origin-Opener-Policy", "same-origin")
            self.set_header("Access-Control-Allow-Origin", "*")
            self.set_header("Set-Cookie", "planted=1; Path=/")
            self.finish(self.text)

    class Worker(Hostile):
        kind, text = "application/javascript", "self.addEventListener('fetch', () => {})"

    dask_scheduler.http_application.add_handlers(".*", [("/hostile", Hostile), ("/worker.js", Worker)])
"""


def page(hub: str, name: str) -> str:
    """Return the page for a user of the hub, by its address without '/' at its end; "" on its own origin."""
    return PAGE.replace("HUB", repr(hub)).replace("NAME", repr(name))
