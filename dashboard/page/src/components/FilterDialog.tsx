/*
 * Adds a filter or changes one: a dimension, an operator, and values. It offers the values that occur in the period.
 */
import { useEffect, useState } from 'preact/hooks';
import { usePanel } from '../api';
import { hides } from '../shared';
import { facts, go, isSimple, same, view } from '../state';
import type { Filter } from '../types';
import { GROUPS, OPERATORS, headOf, holds, panelOf, valueOf } from '../words';
import { Dialog } from './Dialog';
import { Cross } from './Menu';
import { Segments } from './Notes';

const OFFERED = 8;
const SETTLED_MS = 200; // values are looked for when nobody has typed for so long
const PROPERTY = 'props.';

export function FilterDialog({ changed, close }: { changed?: Filter; close: () => void }) {
  const [operator, setOperator] = useState(changed && isSimple(changed) ? changed[0] : 'is');
  const [dimension, setDimension] = useState(changed && isSimple(changed) ? changed[1] : 'page');
  const [values, setValues] = useState(changed && isSimple(changed) ? changed[2] : []);
  const [typed, type] = useState('');
  const isProperty = dimension.startsWith(PROPERTY);
  const add = (value: string) => {
    if (value) setValues(values.includes(value) ? values.filter(one => one !== value) : [...values, value]);
    type('');
  };
  const all = typed.trim() ? [...new Set([...values, typed.trim()])] : values;
  const isReady = all.length > 0 && dimension !== PROPERTY;
  const submit = (event: Event) => {
    event.preventDefault();
    if (!isReady) return;
    const made: Filter = [operator, dimension, all];
    const { filters } = view.value;
    go({ filters: changed ? filters.map(one => (same(one, changed) ? made : one)) : [...filters.filter(one => !same(one, made)), made] });
    close();
  };
  return (
    <Dialog title={changed ? 'Change the filter' : 'Add a filter'} kind="narrow" close={close}>
      {!changed && <Segments close={close} />}
      <form class="fields" onSubmit={submit}>
        <div class="pair wide">
          <select
            aria-label="Filter by"
            value={isProperty ? PROPERTY : dimension}
            onChange={event => (setDimension(event.currentTarget.value), setValues([]))}
          >
            {GROUPS.map(([title, dimensions]) => (
              <optgroup key={title} label={title}>
                {dimensions.filter(name => name !== PROPERTY || !hides('properties')).map(name => (
                  <option key={name} value={name}>
                    {name === PROPERTY ? 'Property of an event' : headOf(name)}
                  </option>
                ))}
              </optgroup>
            ))}
          </select>
          <select aria-label="Condition" value={operator} onChange={event => setOperator(event.currentTarget.value)}>
            {Object.entries(OPERATORS).map(([name, text]) => (
              <option key={name} value={name}>
                {text}
              </option>
            ))}
          </select>
        </div>
        {isProperty && (
          <input
            type="text"
            required
            aria-label="Name of the property"
            placeholder="Name of the property"
            value={dimension.slice(PROPERTY.length)}
            onInput={event => setDimension(PROPERTY + event.currentTarget.value)}
          />
        )}
        {values.length > 0 && (
          <ul class="chips" aria-label="Values">
            {values.map(value => (
              <li key={value}>
                <span>{valueOf(dimension, value)}</span>
                <button type="button" aria-label={`Remove ${valueOf(dimension, value)}`} onClick={() => add(value)}>
                  <Cross />
                </button>
              </li>
            ))}
          </ul>
        )}
        <input
          type="text"
          aria-label="Value"
          placeholder={values.length ? 'Or another value' : operator.startsWith('matches_w') ? '/blog/*' : 'Value'}
          value={typed}
          onInput={event => type(event.currentTarget.value)}
        />
        <Offers dimension={dimension} text={typed.trim()} chosen={values} add={add} />
        <div class="end">
          <button type="submit" class="button strong" disabled={!isReady}>
            {changed ? 'Apply' : 'Filter'}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

interface OffersProps {
  dimension: string;
  text: string;
  chosen: string[];
  add: (value: string) => void;
}

/** Offers the values that contain the text, the most frequent first. */
function Offers({ dimension, text, chosen, add }: OffersProps) {
  const [settled, settle] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => settle(text), SETTLED_MS);
    return () => clearTimeout(timer);
  }, [text]);
  const panel = panelOf(dimension);
  const filters = settled ? [holds(dimension, settled)] : [];
  const { answer } = usePanel(panel ?? '', { filters, compare: '', interval: '', limit: OFFERED + chosen.length }, panel !== undefined);
  const at = answer?.columns.indexOf(dimension) ?? -1;
  const goals = (facts.value?.goals ?? []).map(goal => goal.name).filter(name => name.includes(text));
  const found = dimension === 'goal' ? goals : at < 0 ? [] : answer!.rows.map(row => String(row[at]));
  const offered = [...new Set(found)].filter(value => !chosen.includes(value)).slice(0, OFFERED);
  return (
    <ul class="choices offers" aria-label="Values that occur">
      {offered.map(value => (
        <li key={value}>
          <button type="button" onClick={() => add(value)}>
            {valueOf(dimension, value)}
          </button>
        </li>
      ))}
    </ul>
  );
}
