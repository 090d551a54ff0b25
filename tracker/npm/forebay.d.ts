/** What a page says of itself, as the attributes of a tag do (docs/tracker.md). */
export interface Options {
  /** Where events go: `https://your-forebay.example/f`. The files of `with` are beside it. */
  api: string;
  /** The site's name. Without it the server takes the host of the page's address. */
  site?: string;
  /** Events that are not sent by itself. */
  without?: ('Outbound Link: Click' | 'File Download' | 'Form: Submission' | '404')[];
  /** Files that are loaded when the page is idle. */
  with?: ('vitals' | 'queue')[];
  /** The fragment is a route. */
  hash?: boolean;
  /** The query is a route. */
  query?: boolean;
  /** Nothing is sent from localhost. */
  ignoreLocalhost?: boolean;
  /** The console says what is sent and what becomes of it. */
  debug?: boolean;
}

export interface Fields {
  revenue?: { amount: string | number; currency: string };
  user?: string;
  [field: string]: unknown;
}

/** Begins to measure this page. A second call for the same site does nothing. */
export function init(options: Options): void;
/** Sends an event. Calls from before init() wait for it; on a server it does nothing. */
export function track(name: string, props?: Record<string, unknown>, fields?: Fields): void;
/** Says what the visitor said: `granted` adds the kept queue, `denied` ends everything. Before init() it has no effect. */
export function consent(choice: 'granted' | 'denied'): void;
