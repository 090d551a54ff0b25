/*
 * Is what a site shows before its first event: the snippet, and whether an event has come or was rejected, which it checks every two seconds.
 */
import { useEffect, useState } from 'preact/hooks';
import { ask, loadFacts } from '../api';
import { ago } from '../format';
import type { Health, SiteFacts } from '../types';
import { Copied } from './Copied';
import { Explained } from './Explained';

const EVERY_MS = 2_000;

export function Setup({ facts }: { facts: SiteFacts }) {
  const [rejected, reject] = useState<Health['rejected']>([]);
  useEffect(() => {
    const look = () => {
      if (document.hidden) return;
      void loadFacts(facts.name);
      ask<Health>('/api/health').then(
        health => reject(health.rejected),
        () => {}, // the next look may succeed; whether the server is away is told elsewhere
      );
    };
    look();
    const timer = setInterval(look, EVERY_MS);
    return () => clearInterval(timer);
  }, [facts.name]);
  return (
    <div class="setup">
      <p class="lead">No event of this site has arrived yet. After these three steps its numbers appear here.</p>
      <ol>
        <li>
          <h2>Put this into the head of each page</h2>
          <Copied text={facts.snippet} what="the snippet" />
        </li>
        <li>
          <h2>Open a page of the site in a browser</h2>
          <p class="muted">Use a browser that does not block trackers. A server can send events, too: docs/events.md says how.</p>
        </li>
        <li>
          <h2>Wait for the first event</h2>
          <p class="waiting" role="status">
            <span class="dot on pulse" aria-hidden="true" />
            Checking every two seconds…
          </p>
          {rejected.length > 0 && (
            <>
              <p>Events that were rejected in the last hour, perhaps from this site:</p>
              <ul class="reasons">
                {rejected.map(({ reason, explained, events, where, at }) => (
                  <li key={reason + where}>
                    <strong>{where || reason}</strong> <Explained text={explained} /> <span class="muted">({events}, {ago(at)})</span>
                  </li>
                ))}
              </ul>
            </>
          )}
        </li>
      </ol>
    </div>
  );
}
