/*
 * The tracker's second file, for the developer of a page: with data-debug it is loaded before the first pageview is sent,
 * and says in the console what was sent, what became of it, and which properties were left out.
 *
 * It wraps fetch and forebay of that page. Not promised: what fetchLater or a beacon carries when the page is left; of
 * engagement that is most. Switch to another tab and back to see an increment.
 */
const api = import.meta.url.replace(/\.debug\.js$/, '');
const name = (event) => event.engaged_ms
  ? `engagement (${event.engaged_ms / 1e3} s more, ${Math.round(event.scroll_pct)} % of the page seen)`
  : event.name === undefined ? 'pageview' : event.name || 'an event without a name';
const sign = (event) => event.auto ? `; auto is ${event.auto}, which speaks for a program` : '';
const say = (level, text, detail) => console[level](`forebay: ${text}`, detail);

const called = []; // what the page called forebay with, and whose event is in no request yet: [name, properties]
const seen = new Set(); // ids of the events of all requests

async function report(events, answer) {
  const said = await answer.json().catch(() => ({}));
  const again = answer.status > 499 || answer.status === 408 || answer.status === 429;
  const refused = new Map((said.rejected || []).map((one) => [one.index, one]));
  events.forEach((event, index) => {
    const fault = said.reason ? said : refused.get(index);
    if (again) {
      say('warn', `${name(event)} was not taken (${answer.status} ${said.reason || ''}); it will be tried again`, event);
    } else if (fault) {
      say('error', `${name(event)} was refused: ${fault.reason}. ${fault.explanation || ''}`, event);
    } else if (answer.ok) {
      say('info', `${name(event)} was taken${sign(event)}`, event);
      const ignored = (said.ignored || []).map((one) => one.fields ? one.index === index && one.fields : one).flat();
      const names = ignored.filter(Boolean);
      if (names.length) say('warn', `of ${name(event)} the server ignored ${names.join(', ')}`, event);
    } else {
      say('error', `${name(event)} was refused with ${answer.status}: is ${api} a Forebay?`, event);
    }
  });
}

// Says which properties of a call its event lacks. An event may leave long after its call: one request is made at a time.
function compare(event) {
  if (seen.has(event.id)) return; // it is tried again
  seen.add(event.id);
  const at = called.findIndex(([title]) => title === event.name);
  if (at < 0) return; // the tracker's own
  const [[title, props]] = called.splice(at, 1);
  if (!props) return;
  const written = event.props || {};
  const missing = typeof props === 'object' && !Array.isArray(props)
    ? Object.keys(props).filter((key) => props[key] !== undefined && !(key in written)) : ['all: they are no object'];
  if (missing.length) say('warn', `properties of ${title} were left out: ${missing.join(', ')}`, props);
}

const native = window.fetch;
window.fetch = async function (input, init) {
  if (typeof input !== 'string' || new URL(input, document.baseURI).href.split('?')[0] !== api) return native.apply(this, arguments);
  const events = JSON.parse(init.body);
  [...events].reverse().forEach(compare); // the newest stands first
  let answer;
  try {
    answer = await native.call(window, `${input}${input.includes('?') ? '&' : '?'}debug=1`, init);
  } catch (error) {
    say('warn', `no answer from ${api}: it is away, or a blocker or the page's Content-Security-Policy (connect-src)`
      + ` forbids it; ${events.map(name).join(', ')} will be tried again`, error);
    throw error;
  }
  report(events, answer.clone());
  return answer;
};

const track = window.forebay;
window.forebay = Object.assign((title, props, options) => {
  try {
    called.push([`${title || ''}`, props]);
  } catch {} // no text: it has no event either
  track(title, props, options);
}, track);

export default () => {}; // as of each file that the tracker loads
