/*
 * Asks the server. `usePanel` is what components call: it asks when the question changes, keeps the last numbers while
 * the next are on their way or the server is away, and asks again by itself: every minute if the period is still running,
 * every five seconds while the site is new, and as soon as a server that was away is back.
 */
import { signal } from '@preact/signals';
import { useEffect, useRef, useState } from 'preact/hooks';
import { LINK, addressed, isClosed, isOver, shared } from './shared';
import { compare, facts, isNew, period, sites, view } from './state';
import type { LinkFacts, PanelAnswer, PanelRequest, Problem, SiteFacts, SiteInList, Viewer } from './types';

const REFRESH_MS = 60_000;
const REFRESH_NEW_MS = 5_000;
const PROBE_MS = 2_000;

/** Why the server does not answer, and since when (ms); null while it answers. */
export const away = signal<{ why: string; since: number } | null>(null);
/** Counts up when panels should ask again for numbers that may have changed. */
export const tick = signal(0);

export class Failed extends Error {
  constructor(
    message: string,
    readonly status: number, // HTTP's, 0 if there was no answer at all
    readonly retryAfter = 0, // s
  ) {
    super(message);
  }
}

export async function ask<T>(path: string, options: RequestInit = {}): Promise<T> {
  let answer: Response;
  try {
    answer = await fetch(addressed(path), { cache: 'no-store', ...options });
  } catch (error) {
    if ((error as Error).name === 'AbortError') throw error;
    throw new Failed('The dashboard does not answer.', 0, PROBE_MS / 1000);
  }
  if (answer.status === 401) {
    // Somebody has to log in, or again: `/` leads to the form, and the browser keeps what stands behind the # of the address.
    if (LINK) isOver.value = true;
    else location.reload();
  }
  const said: unknown = await answer.json().catch(() => null);
  if (answer.ok && said !== null) return said as T;
  const text = (said as Problem | null)?.error ?? `The dashboard answered with ${answer.status}.`;
  throw new Failed(text, answer.status, Number(answer.headers.get('Retry-After')) || 0);
}

/** Changes something. The server wants both headers, because a form on another page can't send them. */
export async function put<T>(path: string, body: unknown, method = 'PUT'): Promise<T> {
  const answer = await ask<T>(path, { method, body: JSON.stringify(body), headers: { 'Content-Type': 'application/json', 'X-Forebay': '1' } });
  changes++;
  return answer;
}

let changes = 0; // that this page has made

export function requestOf(panel: string, more: Partial<PanelRequest> = {}): PanelRequest {
  const { site, interval, filters, bots } = view.value;
  return { site, panel, period: period.value, compare: compare.value, interval: interval as PanelRequest['interval'], filters, bots, ...more };
}

/** Returns the address of a table as CSV, with every row. */
export const csvOf = (request: PanelRequest): string => addressed('/api/panel.csv?q=' + encodeURIComponent(JSON.stringify(request)));

/** Returns the address of all tables of the site as CSV in one ZIP, by its period and filters. */
export const exportOf = (): string => addressed('/api/export.zip?q=' + encodeURIComponent(JSON.stringify(requestOf('totals'))));

// The server has few threads for questions. What stands first is asked first, and the rest when the totals have come, or can't.
const FIRST = new Set(['totals', 'live']);
const ahead = signal(''); // the totals that have come, by their question
const totalsOf = (): string => JSON.stringify(requestOf('totals'));

export interface Panel {
  answer: PanelAnswer | null; // the last one of this panel and site
  problem: string; // why there is none, '' if there is one
  isLoading: boolean; // the answer is of an earlier question, or there is none yet
  isStale: boolean; // is drawn grey, because it may be out of date
  again: () => void;
}

interface Kept {
  key: string;
  about: string; // whose last answer may be shown meanwhile
  answer: PanelAnswer | null;
  problem: string;
}

/** Asks a panel of the site that is shown, by its period and filters. Nothing is asked while `isWanted` is false, or if a link hides the panel. */
export function usePanel(panel: string, more?: Partial<PanelRequest>, isWanted = true): Panel {
  const isTurn = isWanted && !isClosed(panel) && (FIRST.has(panel) || ahead.value === totalsOf());
  const request = requestOf(panel, more);
  const [key, about] = [JSON.stringify(request), `${request.site} ${panel}`];
  const [kept, keep] = useState<Kept>({ key: '', about, answer: null, problem: '' });
  const [tries, setTries] = useState(0);
  const again = () => setTries(count => count + 1);
  const last = useRef(kept);
  last.current = kept;
  const turn = tick.value;
  const answered = useRef(-1); // the turn of the last answer

  useEffect(() => {
    const { current } = last;
    const isNew = current.key !== key;
    const isDue = answered.current !== turn && (current.answer?.period.is_running || current.problem !== '');
    if (!isTurn || !(isNew || isDue || tries)) return;
    const stop = new AbortController();
    let timer = 0;
    const options = { method: 'POST', body: key, headers: { 'Content-Type': 'application/json' }, signal: stop.signal };
    awaited++;
    ask<PanelAnswer>('/api/panel', options)
      .then(answer => {
        answered.current = turn;
        keep({ key, about, answer, problem: '' });
        if (panel === 'totals') ahead.value = key;
      })
      .catch((error: Failed) => {
        if (error.name === 'AbortError') return;
        if (error.status === 503 && error.retryAfter === 1) {
          timer = setTimeout(again, 500 + Math.random() * 1000); // it is busy: this one waits its turn
          return;
        }
        if (panel === 'totals') ahead.value = key;
        if (isWaiting(error)) lose(error.message);
        answered.current = turn;
        const previous = last.current.about === about ? last.current.answer : null;
        keep({ key, about, answer: isWaiting(error) ? previous : null, problem: error.message });
      })
      .finally(() => awaited--);
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [key, isTurn, turn, tries]);

  const answer = kept.about === about ? kept.answer : null;
  const isLoading = isWanted && kept.key !== key;
  return { answer, problem: isLoading ? '' : kept.problem, isLoading, isStale: answer !== null && (isLoading || kept.problem !== '' || away.value !== null), again };
}

const isWaiting = (error: Failed): boolean => error.status === 503 || error.status === 0;

/** Shows that the server does not answer, and asks until it does. */
function lose(why: string): void {
  if (away.value) return;
  away.value = { why, since: Date.now() };
  const probe = setInterval(() => {
    fetch('/healthz?clickhouse', { cache: 'no-store' }).then(
      answer => {
        if (answer.status >= 500) return;
        clearInterval(probe);
        away.value = null;
        tick.value++;
      },
      () => {},
    );
  }, PROBE_MS);
}

// A page in a hidden tab asks for nothing; when it is shown again, it asks at once. A server that takes longer than five seconds for
// an answer is not asked anew meanwhile: that would give up the question, and no answer would ever come.
let asked = Date.now();
let awaited = 0; // answers of panels
function refresh(): void {
  if (document.hidden || away.value || awaited || (Date.now() - asked < REFRESH_MS && !isNew())) return;
  asked = Date.now();
  tick.value++;
}
setInterval(refresh, REFRESH_NEW_MS);
document.addEventListener('visibilitychange', refresh);

/** Why there is no list of sites; '' while nothing is wrong. */
export const sitesProblem = signal('');

/** Reads the list of sites. If the server does not answer, it is read again once it does. */
export async function loadSites(): Promise<void> {
  try {
    sites.value = await ask<SiteInList[]>('/api/sites');
    sitesProblem.value = '';
  } catch (error) {
    const failed = error as Failed;
    if (isWaiting(failed)) lose(failed.message);
    else sitesProblem.value = failed.message;
  }
}

/** Reads what the public link shows. If the server does not answer, it is read again once it does. */
export async function loadLink(): Promise<void> {
  if (isOver.value) return;
  try {
    shared.value = await ask<LinkFacts>('/api/link');
  } catch (error) {
    const failed = error as Failed;
    if (isWaiting(failed)) lose(failed.message);
    else isOver.value = true;
  }
}

/** Who looks; a name only where people have logged in. */
export const viewer = signal<Viewer>({ name: '' });

export const loadViewer = (): Promise<void> => ask<Viewer>('/api/viewer').then(found => void (viewer.value = found), () => {});

/** Reads the facts of a site. Returns why they can't be read; '' if they were, or if the server does not answer. */
export async function loadFacts(site: string): Promise<string> {
  if (facts.value?.name !== site) facts.value = null;
  try {
    const before = changes;
    const found = await ask<SiteFacts>('/api/sites/' + encodeURIComponent(site));
    if (view.value.site !== site) return '';
    if (changes !== before) return await loadFacts(site); // these may be the facts before a change that is shown already
    facts.value = found;
    return '';
  } catch (error) {
    const failed = error as Failed;
    if (!isWaiting(failed)) return failed.message;
    lose(failed.message);
    return '';
  }
}
