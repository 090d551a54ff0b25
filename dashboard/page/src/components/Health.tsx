/*
 * Tells an owner who has no shell whether everything runs, how late the numbers are, and which events were rejected lately, and why.
 */
import { useEffect, useState } from 'preact/hooks';
import { ask } from '../api';
import { ago, duration, moment, number } from '../format';
import { sentence } from '../words';
import type { Health as Said } from '../types';
import { Explained } from './Explained';

const EVERY_MS = 10_000;

export function Health() {
  const [said, hear] = useState<Said | null>(null);
  const [problem, fail] = useState('');
  useEffect(() => {
    const look = () => {
      if (document.hidden) return;
      ask<Said>('/api/health').then(
        found => (hear(found), fail('')),
        (error: Error) => fail(error.message),
      );
    };
    look();
    const timer = setInterval(look, EVERY_MS);
    return () => clearInterval(timer);
  }, []);
  return (
    <div class="health">
      <div class="bar">
        <h1>Health</h1>
      </div>
      {problem && <p class="problem">{problem}</p>}
      {said && <Parts said={said} />}
    </div>
  );
}

function Parts({ said }: { said: Said }) {
  const isWell = said.parts.every(part => part.is_well);
  return (
    <div class="stack">
      <section class="card parts" aria-label="Parts">
        <p class="verdict" role="status">
          {isWell ? 'Everything runs.' : 'Something does not run.'}
        </p>
        <ul>
          {said.parts.map(part => (
            <li key={part.name}>
              <span class={part.is_well ? 'dot on' : 'dot bad'} aria-hidden="true" />
              <strong>{sentence(part.name)}</strong>
              <span>{part.is_well ? 'runs' : 'does not run'}</span>
              <span class="muted">{part.says}</span>
            </li>
          ))}
        </ul>
        <dl>
          <div>
            <dt>Delay of the numbers</dt>
            <dd>{said.lag_seconds === null ? 'not known' : duration(said.lag_seconds)}</dd>
          </div>
          <div>
            <dt>Last event</dt>
            <dd>{said.last_event === null ? 'none yet' : <span title={moment(said.last_event)}>{ago(said.last_event)}</span>}</dd>
          </div>
        </dl>
      </section>
      <section class="card rejected" aria-labelledby="rejected-title">
        <h2 id="rejected-title">Rejected in the last hour</h2>
        {said.rejected.length ? <Rejected rejected={said.rejected} /> : <p class="muted">No event was rejected in the last hour.</p>}
      </section>
    </div>
  );
}

function Rejected({ rejected }: Pick<Said, 'rejected'>) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Rejected events">
      <table class="plain">
        <caption class="unseen">Events that were rejected in the last hour, by reason</caption>
        <thead>
          <tr>
            <th scope="col">Reason</th>
            <th scope="col">Site</th>
            <th scope="col" class="right">
              Events
            </th>
            <th scope="col" class="right">
              Last one
            </th>
          </tr>
        </thead>
        <tbody>
          {rejected.map(one => (
            <tr key={one.reason + one.where}>
              <th scope="row">
                <code>{one.reason}</code> <span class="muted">
                  <Explained text={one.explained} />
                </span>
              </th>
              <td>{one.where}</td>
              <td class="right">{number(one.events)}</td>
              <td class="right">{ago(one.at)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
