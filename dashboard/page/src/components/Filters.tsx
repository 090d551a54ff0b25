/*
 * Shows the filters in force, each with a way to take it away.
 */
import { go, isSimple, removeFilter, view } from '../state';
import type { Filter } from '../types';
import { headOf, valueOf } from '../words';

const OPERATORS: Record<string, string> = {
  is: 'is',
  is_not: 'is not',
  contains: 'contains',
  contains_not: 'does not contain',
  matches: 'matches',
  matches_not: 'does not match',
  matches_wildcard: 'is like',
  matches_wildcard_not: 'is not like',
};

/** Writes a filter for people; one that is more than a condition is written as it is. */
export function spoken(filter: Filter): string {
  if (!isSimple(filter)) return JSON.stringify(filter);
  const [operator, dimension, values] = filter;
  return `${headOf(dimension)} ${OPERATORS[operator] ?? operator} ${values.map(value => valueOf(dimension, value)).join(' or ')}`;
}

export function Filters() {
  const { filters } = view.value;
  if (!filters.length) return null;
  return (
    <ul class="chips" aria-label="Filters">
      {filters.map(filter => (
        <li key={JSON.stringify(filter)}>
          <span>{spoken(filter)}</span>
          <button type="button" aria-label={`Take away: ${spoken(filter)}`} onClick={() => removeFilter(filter)}>
            <svg viewBox="0 0 10 10" aria-hidden="true">
              <path d="m1.5 1.5 7 7m0-7-7 7" />
            </svg>
          </button>
        </li>
      ))}
      {filters.length > 1 && (
        <li class="all">
          <button type="button" onClick={() => go({ filters: [] })}>
            Take all away
          </button>
        </li>
      )}
    </ul>
  );
}
