/*
 * Shows all rows and all numbers of a panel, page by page, with a search.
 */
import { useEffect, useState } from 'preact/hooks';
import { csvOf, requestOf, usePanel } from '../api';
import { number } from '../format';
import { askedOf, filteredBy, isPaged, isSorted, namesOf } from '../rows';
import { isClosed } from '../shared';
import { go, orderOf, view } from '../state';
import type { Filter } from '../types';
import { holds, titleOf } from '../words';
import { Dialog } from './Dialog';
import { Missing, Table } from './Table';

const ROWS = 100;
const SETTLED_MS = 250; // the search begins when nobody has typed for so long

export function Details() {
  const panel = view.value.detail;
  return panel && !isClosed(panel) ? <Opened key={panel} panel={panel} /> : null;
}

function Opened({ panel }: { panel: string }) {
  const [typed, type] = useState('');
  const [text, search] = useState('');
  const [offset, turn] = useState(0);
  const [dimension, know] = useState('');
  useEffect(() => {
    const timer = setTimeout(() => (search(typed.trim()), turn(0)), SETTLED_MS);
    return () => clearTimeout(timer);
  }, [typed]);
  const order = orderOf(panel);
  const found: Filter[] = text && dimension ? [holds(dimension, text)] : [];
  const own = askedOf(panel);
  const filters = [...(own.filters ?? view.value.filters), ...found];
  const asked = { ...own, compare: '', filters, ...(order && isSorted(panel, order[0]) && { order: [order] }) };
  const page = usePanel(panel, { ...asked, limit: ROWS, offset });
  const { answer } = page;
  useEffect(() => know(answer ? filteredBy(panel, namesOf(panel, answer.columns).at(-1) ?? '') : dimension), [answer]);
  const until = offset + (answer?.rows.length ?? 0);
  const title = titleOf(panel);
  return (
    <Dialog title={title} kind="details" close={() => go({ detail: '' })}>
      <div class="tools">
        {dimension && (
          <input type="search" aria-label={`Find in ${title}`} placeholder="Find" value={typed} onInput={event => type(event.currentTarget.value)} />
        )}
        <span class="space" />
        <a class="button" href={csvOf(requestOf(panel, asked))} download>
          CSV
        </a>
      </div>
      <div class={page.isStale ? 'scroll stale' : 'scroll'} tabIndex={0} role="region" aria-label={`${title}: all rows`}>
        {answer && <Table answer={answer} title={title} panel={panel} />}
        {answer && !answer.rows.length && <p class="nothing">{text ? `Nothing has “${text}” in its name.` : 'Nothing in this period.'}</p>}
        {!answer && <Missing panel={page} />}
      </div>
      {answer && answer.rows.length > 0 && (
        <footer>
          <span class="muted" role="status">
            {number(offset + 1)} to {number(until)}
            {answer.total !== null && ` of ${number(answer.total)}`}
          </span>
          <span class="space" />
          <button type="button" class="button" disabled={!offset} onClick={() => turn(Math.max(0, offset - ROWS))}>
            Previous
          </button>
          <button type="button" class="button" disabled={!isPaged(panel) || answer.rows.length < ROWS || until === answer.total} onClick={() => turn(until)}>
            Next
          </button>
        </footer>
      )}
    </Dialog>
  );
}
