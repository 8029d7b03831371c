// Keeps the page up to date: what it shows is asked for again, and put where it was. Forms stay as they are.
(() => {
  const SECONDS = 5;
  const told = document.getElementById('freshness');
  const here = document.querySelector('main').dataset.here;
  const say = words => { if (told.textContent !== words) told.textContent = words; };

  const put = page => {
    for (const place of document.querySelectorAll('[data-live]')) {
      const fresh = page.querySelector(`[data-live="${CSS.escape(place.dataset.live)}"]`);
      if (!fresh) continue;
      const names = list => [...list.querySelectorAll(':scope > [data-cluster]')].map(card => card.dataset.cluster).join();
      if (place.matches('ul') && names(place) === names(fresh)) continue;
      // Nobody's hand is taken off what they are about to use.
      if (place.contains(document.activeElement) && document.activeElement !== document.body) continue;
      if (place.innerHTML !== fresh.innerHTML) place.replaceChildren(...fresh.childNodes);
    }
  };

  const look = async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch(here, { redirect: 'manual', headers: { Accept: 'text/html' } });
      if (answer.type === 'opaqueredirect') {
        // Each look would begin another sign-in, and leave another cookie.
        clearInterval(looking);
        document.removeEventListener('visibilitychange', look);
        say('You are signed out. Reload this page to sign in.');
        return;
      }
      if (!answer.ok) throw new Error(answer.status);
      put(new DOMParser().parseFromString(await answer.text(), 'text/html'));
      say(`Up to date; looks again every ${SECONDS} seconds.`);
    } catch {
      say('This may be out of date: there is no answer just now. It is asked again every few seconds.');
    }
  };

  say(`Up to date; looks again every ${SECONDS} seconds.`);
  const looking = setInterval(look, SECONDS * 1000);
  document.addEventListener('visibilitychange', look);
})();
