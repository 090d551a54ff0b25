/*
 * Draws the rows of a panel: the name of each, its numbers, and a bar that compares it with the largest. A click on a row filters by it.
 */
import type { ComponentChildren } from 'preact';
import { csvOf, requestOf, usePanel, type Panel } from '../api';
import { cell } from '../format';
import { askedOf, filtersOf, isSorted, namesOf, ordered, valueIn } from '../rows';
import { isSimple, link, orderOf, same, sortBy, view, withFilters } from '../state';
import type { Cell, PanelAnswer, PanelRequest } from '../types';
import { VALUES, headOf, isName, valueOf } from '../words';

const ROWS = 9; // of a card: as many as fit beside a neighbour

interface CardTableProps {
  panel: string;
  title: string;
  columns: string[]; // the numbers that a card has room for
  isWanted: boolean;
  nothing?: ComponentChildren; // what to say when there is no row although nothing is filtered
  toRow?: TableProps['toRow'];
  mood?: TableProps['mood'];
}

/** Is a table in a card: its first rows, with links to all of them. */
export function CardTable({ panel, title, columns, isWanted, nothing, toRow, mood }: CardTableProps) {
  const order = orderOf(panel);
  // It asks for no comparison and no total, which it would not show: that is more than half of what the server has to do.
  const more: Partial<PanelRequest> = { ...askedOf(panel), compare: '', with_total: false, limit: ROWS, ...(order && isSorted(panel, order[0]) && { order: [order] }) };
  const found = usePanel(panel, more, isWanted);
  const { answer } = found;
  return (
    <div class={found.isStale ? 'card-table stale' : 'card-table'} aria-busy={found.isLoading}>
      {answer && answer.rows.length > 0 && <Table answer={answer} title={title} columns={columns} panel={panel} most={ROWS} toRow={toRow} mood={mood} />}
      {answer && !answer.rows.length && <Nothing>{nothing}</Nothing>}
      {!answer && <Missing panel={found} />}
      <p class="more">
        {answer && answer.rows.length > 0 && (
          <>
            <a href={link({ detail: panel })}>
              Details<span class="unseen"> of {title}</span>
            </a>
            <span class="space" />
            <a href={csvOf(requestOf(panel, { ...more, limit: undefined }))} download>
              CSV<span class="unseen"> of {title}</span>
            </a>
          </>
        )}
      </p>
    </div>
  );
}

/** Says that there is no row, and what to do about it unless filters are to blame. */
export function Nothing({ children }: { children?: ComponentChildren }) {
  const isFiltered = view.value.filters.length > 0;
  return (
    <div class="nothing">
      <p>{isFiltered ? 'Nothing in this period fits the filters.' : 'Nothing in this period.'}</p>
      {!isFiltered && children}
    </div>
  );
}

/** Says why there are no numbers, or keeps their place while they are on their way. */
export function Missing({ panel }: { panel: Panel }) {
  if (!panel.problem) return <div class="placeholder" aria-hidden="true" />;
  return (
    <p class="problem">
      {panel.problem}{' '}
      <button type="button" class="button" onClick={panel.again}>
        Try again
      </button>
    </p>
  );
}

interface TableProps {
  answer: PanelAnswer;
  title: string;
  panel: string;
  columns?: string[]; // the numbers to show; without it, all
  most?: number; // of rows
  toRow?: (values: (Cell | undefined)[]) => string; // where a click on a row leads; without it, a click filters by the row
  mood?: (column: string, value: Cell | undefined) => string; // a class for a number
}

export function Table({ answer, title, panel, columns, most: rows, toRow, mood }: TableProps) {
  const dimensions = namesOf(panel, answer.columns);
  const numbers = answer.columns.filter(column => !isName(column) && (!columns || columns.includes(column)));
  const first = answer.columns.indexOf(numbers[0] ?? '');
  const most = answer.rows.reduce((most, row) => Math.max(most, Number(valueIn(answer, row, numbers[0] ?? '')) || 0), 0);
  const named = dimensions.at(-1) ?? answer.columns[0]!;
  return (
    <table class={`numbers ${panel}`}>
      <caption class="unseen">{title}</caption>
      <thead>
        <tr>
          <th scope="col" class="name">
            {headOf(named)}
          </th>
          {numbers.map(column => (
            <Head key={column} column={column} panel={panel} />
          ))}
        </tr>
      </thead>
      <tbody>
        {ordered(panel, answer).slice(0, rows).map(row => {
          const values = dimensions.map(column => row[answer.columns.indexOf(column)]);
          return (
            <tr key={JSON.stringify(values)}>
              <Name panel={panel} dimensions={dimensions} values={values} share={most ? Number(row[first]) / most : 0} to={toRow?.(values)} />
              {numbers.map(column => {
                const value = valueIn(answer, row, column);
                return (
                  <td key={column} class={`${column} ${mood?.(column, value) ?? ''}`}>
                    {Array.isArray(value) && value.length ? value.map(one => <div key={one.currency}>{cell(column, [one])}</div>) : cell(column, value)}
                    {mood && <span class="unseen"> {mood(column, value)}</span>}
                  </td>
                );
              })}
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

/** Is the head of a column of numbers; a click sorts by it, the other way round if it is sorted so already. */
function Head({ column, panel }: { column: string; panel: string }) {
  const order = orderOf(panel);
  const mine = order?.[0] === column ? order[1] : undefined;
  if (!isSorted(panel, column)) {
    return (
      <th scope="col" class={column}>
        {headOf(column)}
      </th>
    );
  }
  return (
    <th scope="col" class={column} aria-sort={mine && (mine === 'asc' ? 'ascending' : 'descending')}>
      <button type="button" onClick={() => sortBy(panel, [column, mine === 'desc' ? 'asc' : 'desc'])}>
        {headOf(column)}
        {mine && <span aria-hidden="true">{mine === 'asc' ? ' ↑' : ' ↓'}</span>}
      </button>
    </th>
  );
}

interface NameProps {
  panel: string;
  dimensions: string[];
  values: (Cell | undefined)[];
  share: number; // 0 to 1
  to?: string;
}

/** Is the name of a row, as a link: it adds a filter, removes that filter if it is there, or leads to `to`. */
function Name({ panel, dimensions, values, share, to }: NameProps) {
  const wanted = filtersOf(panel, dimensions, values);
  const isOn = !to && wanted.length > 0 && wanted.every(one => view.value.filters.some(filter => isSimple(filter) && same(filter, one)));
  const filters = isOn ? view.value.filters.filter(filter => !wanted.some(one => same(filter, one))) : withFilters(...wanted);
  const last = dimensions.length - 1;
  const text = valueOf(dimensions[last]!, values[last]);
  const above = dimensions.slice(0, last).flatMap((dimension, at) => (values[at] ? valueOf(dimension, values[at]) : []));
  const inside = (
    <>
      {text}
      {above.length > 0 && <span class="muted"> {above.join(', ')}</span>}
    </>
  );
  return (
    <th scope="row" class="name">
      {share > 0 && <span class="share" aria-hidden="true" style={{ width: `${(share * 100).toFixed(1)}%` }} />}
      {to || wanted.length ? (
        <a href={to ?? link({ filters, detail: '' })} title={VALUES[text] ?? text} aria-current={isOn || undefined}>
          {inside}
          <span class="unseen">{to ? ': its properties' : isOn ? ': remove this filter' : ': filter by this'}</span>
        </a>
      ) : (
        <span class="fixed" title={VALUES[text] ?? text}>
          {inside}
        </span>
      )}
    </th>
  );
}
