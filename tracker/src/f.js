/*
 * The tracker: says to Forebay what page is being looked at, and what the page tells it to.
 *
 *   <script defer src="https://host/f.js" data-site="example.com"></script>
 *
 * Its attributes, its calls, and what it does where something fails: docs/tracker.md. Why it delivers as it does:
 * docs/decisions/0020-how-the-tracker-delivers.md.
 *
 * It throws nothing into the page and writes no cookie and no storage. An event is kept in memory until it is answered,
 * sent again while the page lives, and handed to the browser for when the page ends.
 *
 * Not promised: an event whose page ended while the server was away.
 */
(() => {
  // `let` throughout: with `const` the declarations are not merged, and the file is 30 bytes larger.
  // Whatever the page did to its globals costs a value or an event, never the page.
  let guard = (act) => (...given) => {
    try {
      return act(...given);
    } catch {}
  };
  // A property of document, also where an element has its name (<form name="title">) or the page defined its own.
  let real = guard((name) => Reflect.get(Document.prototype, name, document));
  let listen = guard((type, act) => addEventListener(type, act, true));

  guard(() => {
    let script = real('currentScript') || document.querySelector('script[data-site]'); // a module has no current one
    let data = script.dataset;
    let api = data.api || script.src.split('/', 3).join('/') + '/f'; // not URL(): pages have a `var URL`
    let stub = window.forebay || 0; // it may be an element with that id
    let waiting = stub.q || []; // calls from before the first pageview
    let url; // of the page last counted
    let page; // its url without what does not make it another page
    let referrer;
    let untitled; // the timer of a pageview that waits for its title
    let queue = []; // what is not answered, newest first: {text: JSON without its "}", at: its moment}
    let count = 0; // of events
    let timer; // of the next try; until then nothing is sent
    let wait = 1e3; // before it, in milliseconds, at least
    let copy; // of the queue, in the browser's hands

    // JSON of an object without its "}": each property for itself, so that one that can't be written costs no other.
    let write = (holder, room) => {
      let parts = [];
      Object.keys(holder).forEach(guard((name) => {
        let json = JSON.stringify(holder[name], function (key, given) {
          let value = this[key];
          if (typeof value == 'bigint') return '' + value;
          // What a library gave all objects or all arrays as toJSON is not asked.
          return Array.isArray(value) || value && value.toJSON == {}.toJSON ? value : given;
        });
        if (json.length * 5 < room) {
          room -= json.length;
          parts.push(JSON.stringify(name) + ':' + json);
        }
      }));
      return '{' + parts;
    };

    // Those of the queue that fit into so many bytes.
    let some = (bytes) => queue.filter((event) => (bytes -= escape(event.text).length) > 0);

    let request = (events, more) => {
      let body = events.map((event) => {
        let now = Date.now();
        // The server adds to ts what its clock is ahead of sent_at.
        return event.text + (now > event.at ? ',"ts":' + event.at + ',"sent_at":' + now + '}' : '}');
      });
      return { method: 'POST', body: body[1] ? '[' + body + ']' : body[0], credentials: 'omit', ...more };
    };

    // What is not answered leaves with the page: by fetchLater however it ends, else by a beacon when it is hidden.
    let handOver = guard((isHidden) => {
      copy && copy.abort();
      copy = new AbortController();
      let events = some(6e4); // browsers take 64 KiB
      if (events[0]) try {
        fetchLater(api, request(events, { signal: copy.signal }));
      } catch {
        isHidden && navigator.sendBeacon(api, request(events).body);
      }
    });

    let deliver = async (events) => {
      let answer;
      try {
        // A retry is not keepalive: its bytes would count against the 64 KiB that a page has of these.
        answer = await fetch(api, request(events, { keepalive: !timer }));
        if (/^5|408|429/.test(answer.status)) throw answer;
        queue = queue.filter((event) => events.indexOf(event) < 0);
        wait = 1e3;
      } catch {
        guard(() => {
          clearTimeout(timer);
          timer = setTimeout(retry, wait * (1 + Math.random()) + (answer && answer.headers.get('retry-after') * 1e3 || 0));
        })();
      }
      handOver();
    };

    let retry = guard(() => {
      queue = queue.filter((event) => Date.now() - event.at < 72e6); // the server knows an id for a day
      queue[0] && deliver(queue);
      timer = 0;
      wait *= 1.05; // for 45 s of tries a next one comes within 5 s
    });

    let send = guard((name, props, options) => {
      let at = Date.now();
      let text = write({
        id: at.toString(36) + ++count + Math.random(), // the same again is the same event
        name,
        url,
        site: data.site,
        referrer,
        // Only a text has substring().
        get title() { return real('title').substring(0, 500); },
        get language() { return navigator.language.substring(0, 500); },
        get screen() { return [screen.width | 0, screen.height | 0]; },
        get revenue() { return options.revenue; },
      }, 1 / 0);
      guard(() => {
        if (!props.lastIndexOf) text += ',"props":' + write(props, 9e3) + '}'; // neither a text nor a list
      })();
      let event = { text, at };
      queue = [event, ...queue];
      queue = some(2e5);
      text[1] && (timer ? handOver() : deliver([event]));
    });

    // Before anything else is sent or the page is left.
    let settle = guard(() => {
      if (untitled) untitled = clearTimeout(untitled), send();
    });

    let view = guard((event) => {
      let isRestored = event && event.persisted;
      let address = location.href.replace(data.hash == null ? /#.*/ : '', '').slice(0, 4e3);
      let now = address.replace(data.query == null ? /\?[^#]*/g : '', '');
      if (real('prerendering') || now == page && !isRestored) return;
      settle();
      // A router names the page after it has pushed it; 300 ms later the title is the new page's.
      untitled = page && !isRestored && setTimeout(settle, 300);
      // A page from the back-forward cache was come to from nobody knows where.
      referrer = isRestored ? '' : url || real('referrer');
      page = now;
      url = address;
      untitled || send();
      waiting.splice(0).forEach((call) => track(...call));
    });

    let track = guard((name, props, options) => {
      page ? (settle(), send('' + (name || ''), props, options)) : waiting[99] || waiting.push([name, props, options]);
    });

    if (stub.on) return; // a second tag of the same page
    window.forebay = track;
    track.on = 1;

    // A page of no host is none that anybody could look at.
    if (!location.host || location.protocol == 'file:'
      || data.ignoreLocalhost != null && /^(127\.|\[::1]|(.+\.)?localhost$)/.test(location.hostname)) return;

    let start = () => {
      ['pushState', 'replaceState'].forEach(guard((method) => {
        let native = history[method];
        if (native) history[method] = function () {
          let result = native.apply(this, arguments);
          view();
          return result;
        };
      }));
      listen('popstate', view);
      listen('pageshow', view);
      listen('prerenderingchange', view);
      listen('visibilitychange', () => {
        settle();
        handOver(real('hidden'));
      });
      view();
      navigation.addEventListener('currententrychange', view); // for who calls History.prototype.pushState
    };
    'debug' in data ? import(api + '.debug.js').then(start, start) : start();
  })();
})();
