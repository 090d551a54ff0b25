/*
 * The tracker's file that keeps unanswered events in the browser's storage: what a page could not deliver before it was
 * closed is delivered from the next page of the same origin.
 *
 * Loaded for data-with="queue", and when the page calls forebay.consent('granted'). All pages of an origin share one item of
 * localStorage, `forebay`: the events of each tag, as they are sent, but without what the server would not keep of their
 * queries. A page reads it when it begins, and puts its own events in the place of those that it once had. Two pages that
 * write in the same moment may lose the one's for a second: then it writes them again. An event that two pages have is
 * sent twice, under one id.
 *
 * What is too old for its id to be known is dropped, and everything is if the visitor said no or the browser asks for
 * privacy (navigator.globalPrivacyControl).
 *
 * Not promised: an event whose visitor does not come back within 20 hours, or whose browser throws the storage away.
 */
const AGE_MS = 72e6; // as in f.js
const BYTES_MAX = 1e5;
// What the server keeps of a query (docs/events.md), and the click ids, of which it keeps only that there was one.
const KEPT = /^(utm_\w+|ref|source|via)=/;
const CLICK = /^(gclid|wbraid|gbraid|dclid|fbclid|msclkid|ttclid|twclid|li_fat_id|yclid)=/;

const shortened = (url) => url.replace(/\?[^#]*/g, (query) => {
  const kept = query.slice(1).split('&').map((part) => CLICK.test(part) ? part.replace(/=.*/, '=1') : KEPT.test(part) ? part : '');
  return kept.some(Boolean) ? `?${kept.filter(Boolean).join('&')}` : '';
});

function stored() {
  try {
    return Object(JSON.parse(localStorage.forebay));
  } catch {
    return {}; // nothing, or nothing of ours
  }
}

const begun = new Set(); // tags
const isOff = () => localStorage.forebay === 'off';

// `queue` gives the events that wait, or true while the visitor says no.
export default (queue, track, tag) => {
  const known = new Set(); // ids that this page has or had

  const begin = () => {
    if (queue() === true) return;
    if (isOff()) localStorage.removeItem('forebay'); // the visitor says yes now
    if (begun.has(tag)) return;
    begun.add(tag);
    const now = Date.now();
    const had = [].concat(stored()[tag] || []).filter((event) => event && event.url && now - event.ts < AGE_MS);
    for (const { ts, ...event } of had) queue().push({ text: JSON.stringify(event).slice(0, -1), at: ts });
    setInterval(guarded(save), 1e3);
    // After the tracker's own listeners, which end the increment of engagement.
    for (const type of ['visibilitychange', 'pagehide']) addEventListener(type, guarded(save), true);
    save();
  };

  const save = () => {
    if (isOff()) return;
    const now = Date.now();
    const mine = queue().map(({ text, at }) => ({ ...JSON.parse(`${text}}`), ts: at }));
    mine.forEach((event) => known.add(event.id));
    const all = stored();
    const others = [].concat(all[tag] || []).filter((event) => event && !known.has(event.id));
    let room = BYTES_MAX;
    // What was answered has no time any more.
    all[tag] = [...mine, ...others].filter((event) => now - event.ts < AGE_MS && (room -= JSON.stringify(event).length) > 0)
      .map((event) => ({ ...event, url: shortened(event.url), referrer: `${event.referrer || ''}`.replace(/[?#].*/, '') }));
    if (!all[tag].length) delete all[tag];
    const text = Object.keys(all).length ? JSON.stringify(all) : undefined;
    if (text === localStorage.forebay) return;
    if (text) localStorage.forebay = text;
    else localStorage.removeItem('forebay');
  };

  const guarded = (act) => () => {
    try {
      act();
    } catch {} // a sandboxed frame has no storage, and it may be full
  };

  if (navigator.globalPrivacyControl) return guarded(() => isOff() || localStorage.removeItem('forebay'))();
  const start = guarded(begin);
  if (document.prerendering) document.addEventListener('prerenderingchange', start, { once: true });
  else start();
};
