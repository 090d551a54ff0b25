/*
 * Is a dialog that lists a site's goals, funnels or annotations, removes them, and adds others.
 */
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { put, usePanel } from '../api';
import { facts } from '../state';
import type { SiteFacts } from '../types';
import { sentence } from '../words';
import { Dialog } from './Dialog';

type Kind = 'goals' | 'funnels' | 'segments' | 'annotations';
type Changed = Pick<SiteFacts, Kind>;

export interface Change {
  problem: string;
  add: (body: unknown) => Promise<boolean>; // tells whether it was
  remove: (id: string) => Promise<boolean>;
}

/** Adds and removes a site's goals, funnels, segments or annotations (`kind`), and shows at once what the site has then. */
export function useChange(kind: Kind): Change {
  const [problem, fail] = useState('');
  const [isBusy, setBusy] = useState(false);
  const ask = async (path: string, body: unknown, method: 'PUT' | 'DELETE') => {
    const site = facts.value?.name ?? '';
    if (isBusy) return false;
    setBusy(true);
    try {
      const changed = await put<Changed>(`/api/sites/${encodeURIComponent(site)}/${kind}${path}`, body, method);
      if (facts.value?.name === site) facts.value = { ...facts.value, ...changed };
      fail('');
      return true;
    } catch (error) {
      fail(sentence((error as Error).message));
      return false;
    } finally {
      setBusy(false);
    }
  };
  return {
    problem,
    add: body => ask('', body, 'PUT'),
    remove: id => ask('/' + encodeURIComponent(id), {}, 'DELETE'),
  };
}

interface Props {
  title: string;
  close: () => void;
  items: [id: string, text: string, more?: string][];
  nothing: string;
  change: Change;
  children: ComponentChildren; // the form that adds one
}

export function Changeable({ title, close, items, nothing, change, children }: Props) {
  const mayChange = facts.value?.may_change ?? false;
  const remove = async (button: HTMLElement, id: string) => {
    const fields = button.closest('.fields');
    if (await change.remove(id)) fields?.querySelector('input')?.focus(); // the button is gone
  };
  return (
    <Dialog title={title} kind="narrow" close={close}>
      <div class="fields">
        <p class="problem" role="alert" hidden={!change.problem}>
          {change.problem}
        </p>
        {mayChange ? children : <p class="muted">Only an admin of this site may change this.</p>}
        {items.length ? (
          <ul class="items" aria-label={title} aria-live="polite">
            {items.map(([id, text, more]) => (
              <li key={id}>
                <span>
                  {text}
                  {more && <span class="muted"> {more}</span>}
                </span>
                {mayChange && (
                  <button type="button" class="button small" aria-label={`Remove ${text}`} onClick={event => remove(event.currentTarget, id)}>
                    Remove
                  </button>
                )}
              </li>
            ))}
          </ul>
        ) : (
          <p class="muted">{nothing}</p>
        )}
      </div>
    </Dialog>
  );
}

/** Offers the events of the period to a field, and the goals of the site where they fit. */
export function Suggested({ id, hasGoals }: { id: string; hasGoals: boolean }) {
  const { answer } = usePanel('events', { filters: [], compare: '', interval: '', limit: 50 });
  const events = answer?.rows.map(row => String(row[0])).filter(name => name !== 'pageview') ?? [];
  const goals = hasGoals ? (facts.value?.goals ?? []).map(goal => goal.name) : [];
  return (
    <datalist id={id}>
      {[...new Set([...goals, ...events])].map(name => (
        <option key={name} value={name} />
      ))}
    </datalist>
  );
}
