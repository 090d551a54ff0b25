/*
 * Shows how many visitors reached each goal, and adds and removes goals.
 */
import { useState } from 'preact/hooks';
import { LINK } from '../shared';
import { facts } from '../state';
import { Card, Do } from './Card';
import { Changeable, Suggested, useChange } from './Changeable';
import { CardTable } from './Table';

export function Goals() {
  const [isOpen, open] = useState(false);
  const { goals = [], currencies = [], name = '' } = facts.value ?? {};
  const columns = ['visitors', 'conversion_rate', ...(currencies.length ? ['total_revenue'] : [])];
  const key = goals.map(goal => goal.name).join();
  return (
    <Card
      name="goals"
      title="Goals"
      tools={
        !LINK && (
          <button type="button" class="button small" onClick={() => open(true)}>
            {goals.length ? 'Change' : 'Add a goal'}
            {goals.length > 0 && <span class="unseen"> goals</span>}
          </button>
        )
      }
    >
      {isSeen => (
        <>
          <CardTable
            key={key}
            panel="goals"
            title="Goals"
            columns={columns}
            isWanted={isSeen}
            nothing={
              <Do what="the command" text={`forebay site set ${name} --goal 'signup' --goal 'Visit /thanks'`}>
                A goal is an event, or a page that somebody comes to. Add one here, or with a command:
              </Do>
            }
          />
          {isOpen && <GoalsDialog close={() => open(false)} />}
        </>
      )}
    </Card>
  );
}

function GoalsDialog({ close }: { close: () => void }) {
  const [text, type] = useState('');
  const change = useChange('goals');
  const submit = async (event: Event) => {
    event.preventDefault();
    if (await change.add({ text })) type('');
  };
  const goals = facts.value?.goals ?? [];
  return (
    <Changeable
      title="Goals"
      close={close}
      items={goals.map(goal => [goal.name, goal.name])}
      change={change}
      nothing="While there is no goal, each event that your site sends by name counts as one."
    >
      <form class="ask" onSubmit={submit}>
        <input
          type="text"
          required
          aria-label="A goal"
          aria-describedby="goal-help"
          placeholder="signup, or Visit /thanks"
          list="goal-events"
          value={text}
          onInput={event => type(event.currentTarget.value)}
        />
        <Suggested id="goal-events" hasGoals={false} />
        <button type="submit" class="button strong">
          Add
        </button>
      </form>
      <ul class="help muted" id="goal-help">
        <li>
          <code>signup</code> is the event of this name
        </li>
        <li>
          <code>Visit /blog/*</code> is a page; * stands for any characters
        </li>
        <li>
          <code>Big order=purchase plan=pro</code> is an event with a property, under a name of its own
        </li>
      </ul>
    </Changeable>
  );
}
