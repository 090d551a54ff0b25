/*
 * Shows the events of a site. For an event that was clicked it shows the properties, and the values of one of them.
 */
import { useEffect, useRef } from 'preact/hooks';
import { usePanel } from '../api';
import { askedOf } from '../rows';
import { isClosed } from '../shared';
import { link, pick, pickOf, view, withFilters } from '../state';
import { Card, Do } from './Card';
import { CardTable, Missing, Nothing } from './Table';

export function Events() {
  const event = isClosed('properties') ? '' : pickOf('event', '');
  const shown = useRef(event);
  useEffect(() => {
    // The link that was clicked is gone, and the focus with it.
    if (shown.current !== event && document.activeElement === document.body) document.getElementById('events-title')?.focus();
    shown.current = event;
  }, [event]);
  return (
    <Card
      name="events"
      title={event ? `Event ${event}` : 'Events'}
      tools={
        event && (
          <>
            <a class="button small" href={link({ filters: withFilters(['is', 'event', [event]]) })}>
              Filter by this event
            </a>
            <a class="button small" href={link({ picks: without() })}>
              All events
            </a>
          </>
        )
      }
    >
      {isSeen => (event ? <Properties key={event} event={event} isSeen={isSeen} /> : <All isSeen={isSeen} />)}
    </Card>
  );
}

function without(): Record<string, string> {
  const { event, property, ...others } = view.value.picks;
  return others;
}

function All({ isSeen }: { isSeen: boolean }) {
  return (
    <CardTable
      panel="events"
      title="Events"
      columns={['visitors', 'events']}
      isWanted={isSeen}
      toRow={isClosed('properties') ? undefined : values => link({ picks: { ...without(), event: String(values[0]) } })}
      nothing={
        <Do what="the code" text="forebay('signup', {plan: 'pro'})">
          Call this when something happens that you want to count:
        </Do>
      }
    />
  );
}

function Properties({ event, isSeen }: { event: string; isSeen: boolean }) {
  const found = usePanel('properties', askedOf('properties'), isSeen);
  const { answer } = found;
  const names = answer?.rows.map(row => String(row[0])) ?? [];
  const picked = pickOf('property', '');
  const isPicked = names.includes(picked);
  useEffect(() => {
    if (names.length && !isPicked) pick('property', names[0]!);
  }, [names[0], isPicked]);
  if (!answer || (names.length && !isPicked)) {
    return (
      <div class="card-table" aria-busy={found.isLoading}>
        <Missing panel={found} />
      </div>
    );
  }
  if (!names.length) {
    return (
      <div class="card-table">
        <Nothing>
          <Do what="the code" text={event === 'pageview' ? "forebay('pageview', {author: 'Ada'})" : `forebay('${event.replaceAll("'", "\\'")}', {plan: 'pro'})`}>
            Events of this name have no properties. You send them with the event:
          </Do>
        </Nothing>
      </div>
    );
  }
  return (
    <div class="shown">
      <select class="others" aria-label="Property" value={picked} onChange={event => pick('property', event.currentTarget.value)}>
        {names.map(name => (
          <option key={name}>{name}</option>
        ))}
      </select>
      <CardTable key={picked} panel="property" title={`Values of ${picked}`} columns={['visitors', 'events', 'percentage']} isWanted={isSeen} />
    </div>
  );
}
