/*
 * Keeps what people note of a site: segments, which are filters under a name, and annotations, which say in the chart what happened on a day.
 */
import { useState } from 'preact/hooks';
import { bucketOf } from '../format';
import { facts, go, same, shownPeriod, view } from '../state';
import { Changeable, useChange } from './Changeable';
import { Dialog } from './Dialog';
import { Cross } from './Menu';

/** Offers the segments of the site: a click replaces the filters by those of the segment. */
export function Segments({ close }: { close: () => void }) {
  const change = useChange('segments');
  const segments = facts.value?.segments ?? [];
  if (!segments.length) return null;
  return (
    <div class="segments">
      <p class="label" id="segments-label">
        Segments
      </p>
      <ul class="chips" aria-labelledby="segments-label">
        {segments.map(({ id, name, filters }) => (
          <li key={id}>
            <button type="button" class="text" aria-current={same(filters, view.value.filters) || undefined} onClick={() => (go({ filters }), close())}>
              {name}
            </button>
            {facts.value?.may_change && (
              <button type="button" aria-label={`Remove the segment ${name}`} onClick={() => void change.remove(String(id))}>
                <Cross />
              </button>
            )}
          </li>
        ))}
      </ul>
      {change.problem && (
        <p class="problem" role="alert">
          {change.problem}
        </p>
      )}
    </div>
  );
}

/** Is the button that saves the filters as a segment, or the name of the segment if they are one already. */
export function SaveSegment() {
  const [isOpen, open] = useState(false);
  const { filters } = view.value;
  const known = facts.value?.segments.find(segment => same(segment.filters, filters));
  if (known) return <span class="muted">{known.name}</span>;
  if (!facts.value?.may_change) return null;
  return (
    <>
      <button type="button" class="text" onClick={() => open(true)}>
        Save as a segment
      </button>
      {isOpen && <SegmentDialog close={() => open(false)} />}
    </>
  );
}

function SegmentDialog({ close }: { close: () => void }) {
  const [name, setName] = useState('');
  const change = useChange('segments');
  const isThere = facts.value?.segments.some(segment => segment.name === name.trim());
  const submit = async (event: Event) => {
    event.preventDefault();
    if (await change.add({ name, filters: view.value.filters })) close();
  };
  return (
    <Dialog title="Save the filters as a segment" kind="narrow" close={close}>
      <form class="fields" onSubmit={submit}>
        <input type="text" required maxLength={120} aria-label="Name of the segment" placeholder="Name" value={name} onInput={event => setName(event.currentTarget.value)} />
        {isThere && <p class="muted">A segment of this name exists. These filters will replace its own.</p>}
        {change.problem && (
          <p class="problem" role="alert">
            {change.problem}
          </p>
        )}
        <div class="end">
          <button type="submit" class="button strong" disabled={!name.trim()}>
            {isThere ? 'Replace' : 'Save'}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

/** Is the button above the chart that opens the annotations, which people read as notes. */
export function Annotate() {
  const [isOpen, open] = useState(false);
  return (
    <>
      <button type="button" class="button" onClick={() => open(true)}>
        Notes
      </button>
      {isOpen && <Annotations close={() => open(false)} />}
    </>
  );
}

function Annotations({ close }: { close: () => void }) {
  const [date, setDate] = useState(shownPeriod.value?.until ?? '');
  const [text, setText] = useState('');
  const change = useChange('annotations');
  const submit = async (event: Event) => {
    event.preventDefault();
    if (await change.add({ date, text })) setText('');
  };
  const noted = [...(facts.value?.annotations ?? [])].sort((one, other) => other.date.localeCompare(one.date));
  return (
    <Changeable
      title="Notes"
      close={close}
      items={noted.map(note => [String(note.id), note.text, bucketOf(note.date, 'day')])}
      change={change}
      nothing="A note says in the chart what happened on a day: a release, a campaign, an outage."
    >
      <form class="ask wrap" onSubmit={submit}>
        <input type="date" required aria-label="Day" value={date} onInput={event => setDate(event.currentTarget.value)} />
        <input type="text" required maxLength={500} aria-label="What happened" placeholder="What happened" value={text} onInput={event => setText(event.currentTarget.value)} />
        <button type="submit" class="button strong">
          Add
        </button>
      </form>
    </Changeable>
  );
}
