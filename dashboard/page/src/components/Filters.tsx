/*
 * Shows the filters in force, each with a button to change it and one to remove it, and the button that adds one.
 */
import { useRef, useState } from 'preact/hooks';
import { go, isSimple, same, view } from '../state';
import type { Filter } from '../types';
import { OPERATORS, headOf, valueOf } from '../words';
import { FilterDialog } from './FilterDialog';
import { Cross } from './Menu';
import { SaveSegment } from './Notes';

/** Writes a filter for people. One with parts is written with the operators of the grammar: and, or, not, has done. */
export function spoken(filter: Filter): string {
  if (isSimple(filter)) {
    const [operator, dimension, values] = filter;
    return `${headOf(dimension)} ${OPERATORS[operator] ?? operator} ${values.map(value => valueOf(dimension, value)).join(' or ')}`;
  }
  const [operator, inner] = filter;
  if ((operator === 'and' || operator === 'or') && Array.isArray(inner)) return inner.map(spoken).join(` ${operator} `);
  if (typeof operator === 'string' && Array.isArray(inner)) return `${operator.replaceAll('_', ' ')} (${spoken(inner)})`;
  return JSON.stringify(filter);
}

export function Filters() {
  const { filters } = view.value;
  const [changed, change] = useState<Filter>();
  const chips = useRef<HTMLUListElement>(null);
  if (!filters.length) return null;
  // A button that is gone leaves the focus nowhere: the next chip has it then, or the button that adds a filter.
  const remove = (kept: Filter[], index: number) => {
    go({ filters: kept });
    requestAnimationFrame(() => {
      const left = [...(chips.current?.querySelectorAll<HTMLElement>('.remove') ?? [])];
      (left[Math.min(index, left.length - 1)] ?? document.querySelector<HTMLElement>('.add-filter'))?.focus();
    });
  };
  return (
    <>
      <ul class="chips" aria-label="Filters" ref={chips}>
        {filters.map((filter, index) => (
          <li key={JSON.stringify(filter)}>
            {isSimple(filter) ? (
              <button type="button" class="text" title="Change this filter" onClick={() => change(filter)}>
                {spoken(filter)}
              </button>
            ) : (
              <span>{spoken(filter)}</span>
            )}
            <button
              type="button"
              class="remove"
              aria-label={`Remove the filter: ${spoken(filter)}`}
              onClick={() => remove(filters.filter(one => !same(one, filter)), index)}
            >
              <Cross />
            </button>
          </li>
        ))}
        <li class="all">
          <SaveSegment />
        </li>
        {filters.length > 1 && (
          <li class="all">
            <button type="button" class="text" onClick={() => remove([], 0)}>
              Remove all
            </button>
          </li>
        )}
      </ul>
      {changed && <FilterDialog changed={changed} close={() => change(undefined)} />}
    </>
  );
}

/** Is the button that adds a filter. */
export function AddFilter() {
  const [isOpen, open] = useState(false);
  return (
    <>
      <button type="button" class="button add-filter" aria-label="Add a filter" onClick={() => open(true)}>
        <svg class="funnel" viewBox="0 0 14 12" aria-hidden="true">
          <path d="M1 1.5h12M3.5 6h7M6 10.5h2" />
        </svg>
        <span>Filter</span>
      </button>
      {isOpen && <FilterDialog close={() => open(false)} />}
    </>
  );
}
