/*
 * The tracker as a module: what a tag's attributes say to f.js, an application says to init(). The build puts f.js into it
 * (tracker/build.mjs), so it is the same code, and does the same.
 *
 * Nothing happens when it is imported, so a server may import it too. Calls from before init() wait for it.
 */

/** Begins to measure this page. A second call for the same site does nothing. */
export const init = ({ api, site, without, with: files, hash, query, ignoreLocalhost, debug }) => {
  if (typeof window === 'undefined') return;
  // As the attributes of a tag: a switch that is off is not there.
  const said = {
    api: `${new URL(api, location.href)}`,
    site,
    without: without?.join(', '),
    with: files?.join(' '),
    hash: hash || undefined,
    query: query || undefined,
    ignoreLocalhost: ignoreLocalhost || undefined,
    debug: debug || undefined,
  };
  void start(Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined)));
};

/** Sends an event. */
export const track = (...given) => {
  if (typeof window === 'undefined') return;
  window.forebay ||= function () {
    (window.forebay.q ||= []).push(arguments);
  };
  window.forebay(...given);
};

/** Says what the visitor said: `granted` adds the kept queue, `denied` ends everything. Before init() it has no effect. */
export const consent = (choice) => globalThis.window?.forebay?.consent?.(choice);
