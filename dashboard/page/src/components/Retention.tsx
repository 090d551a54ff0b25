/*
 * Shows how many of the people who first came on a day, in a week or in a month came again later. It counts people with a user id only, because
 * other visitors can't be recognised on the next day.
 */
import { usePanel } from '../api';
import { bucketOf, number, percentage, tickOf } from '../format';
import { askedOf } from '../rows';
import { pickOf } from '../state';
import type { PanelAnswer } from '../types';
import { sentence } from '../words';
import { Card, Do, More, Pick } from './Card';
import { Missing, Nothing } from './Table';

export function Retention() {
  const unit = pickOf('unit', 'week');
  return (
    <Card
      name="retention"
      title="Retention"
      tools={
        <Pick
          name="unit"
          label="Retention by"
          options={[
            ['week', 'Weeks'],
            ['day', 'Days'],
            ['month', 'Months'],
          ]}
        />
      }
    >
      {isSeen => <Cohorts key={unit} unit={unit} isSeen={isSeen} />}
    </Card>
  );
}

function Cohorts({ unit, isSeen }: { unit: string; isSeen: boolean }) {
  const found = usePanel('retention', { ...askedOf('retention'), compare: '', interval: '' }, isSeen);
  const { answer } = found;
  return (
    <div class={found.isStale ? 'report stale' : 'report'} aria-busy={found.isLoading}>
      {!answer && <Missing panel={found} />}
      {answer && !answer.rows.length && (
        <Nothing>
          <Do what="the code" text="forebay('login', {}, {user: 'u-4711'})">
            Visitors are not recognised on another day. If people log in on your site, send a user id with an event, and you see here how many of them come back:
          </Do>
        </Nothing>
      )}
      {answer && answer.rows.length > 0 && (
        <>
          <Triangle answer={answer} unit={unit} />
          <More panel="retention" title="Retention">
            People with a user id who were first seen in this period
          </More>
        </>
      )}
    </div>
  );
}

function Triangle({ answer, unit }: { answer: PanelAnswer; unit: string }) {
  const cohorts = new Map<string, Map<number, [people: number, percentage: number]>>();
  let oldest = 0;
  for (const [cohort, age, people, share] of answer.rows) {
    const key = String(cohort);
    if (!cohorts.has(key)) cohorts.set(key, new Map());
    cohorts.get(key)!.set(Number(age), [Number(people), Number(share)]);
    oldest = Math.max(oldest, Number(age));
  }
  const ages = Array.from({ length: oldest }, (_, index) => index + 1);
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Retention: people by when they first came, and how many came again">
      <table class="cohorts">
        <caption class="unseen">How many people of each {unit} came again later</caption>
        <thead>
          <tr>
            <th scope="col">First seen</th>
            <th scope="col">People</th>
            {ages.map(age => (
              <th scope="col" key={age}>
                <span class="unseen">{sentence(unit)} </span>
                {number(age)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {[...cohorts].map(([cohort, seen]) => (
            <tr key={cohort}>
              <th scope="row" title={bucketOf(cohort, unit)}>
                {tickOf(cohort, unit)}
              </th>
              <td>{number(seen.get(0)?.[0] ?? 0)}</td>
              {ages.map(age => {
                const [people, share] = seen.get(age) ?? [0, 0];
                return isOver(cohort, age, unit, answer.period.until) ? (
                  <td key={age} class={`shade s${Math.ceil(share / 20)}`} title={`${number(people)} ${people === 1 ? 'person' : 'people'}`}>
                    {percentage(share)}
                  </td>
                ) : (
                  <td key={age} />
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Tells whether the day, week or month that comes `age` units after the cohort's has begun by the last day of the period. */
function isOver(cohort: string, age: number, unit: string, until: string): boolean {
  const date = new Date(cohort + 'T00:00Z');
  if (unit === 'month') date.setUTCMonth(date.getUTCMonth() + age);
  else date.setUTCDate(date.getUTCDate() + age * (unit === 'week' ? 7 : 1));
  return date.toISOString().slice(0, 10) <= until;
}
