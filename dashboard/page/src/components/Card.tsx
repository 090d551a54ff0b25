/*
 * Is a card of a report. It asks for its numbers once it comes into view, and where there are none it says what to do next.
 */
import type { ComponentChildren } from 'preact';
import { csvOf, requestOf } from '../api';
import { askedOf } from '../rows';
import { LINK } from '../shared';
import { link, pick, pickOf } from '../state';
import { Copied } from './Copied';
import { useSeen } from './Tabs';

interface Props {
  name: string;
  title: string;
  tools?: ComponentChildren; // beside the title
  children: (isSeen: boolean) => ComponentChildren;
}

export function Card({ name, title, tools, children }: Props) {
  const [card, isSeen] = useSeen();
  return (
    <section class={`card group ${name}-card`} ref={card} aria-labelledby={`${name}-title`}>
      <div class="head beside">
        <h2 id={`${name}-title`} tabIndex={-1}>
          {title}
        </h2>
        <div class="end">{tools}</div>
      </div>
      {children(isSeen)}
    </section>
  );
}

/** Is the line below a report, with links to all its rows (of a table) and to its CSV. */
export function More({ panel, title, hasDetails, children }: { panel: string; title: string; hasDetails?: boolean; children?: ComponentChildren }) {
  return (
    <p class="more">
      {hasDetails && (
        <a href={link({ detail: panel })}>
          Details<span class="unseen"> of {title}</span>
        </a>
      )}
      {children && <span class="muted">{children}</span>}
      <span class="space" />
      <a href={csvOf(requestOf(panel, askedOf(panel)))} download>
        CSV<span class="unseen"> of {title}</span>
      </a>
    </p>
  );
}

/** Lets a person choose one of a few options, and keeps the choice in the address. */
export function Pick({ name, label, options }: { name: string; label: string; options: [value: string, title: string][] }) {
  return (
    <select class="pick" aria-label={label} value={pickOf(name, options[0]?.[0] ?? '')} onChange={event => pick(name, event.currentTarget.value)}>
      {options.map(([value, title]) => (
        <option key={value} value={value}>
          {title}
        </option>
      ))}
    </select>
  );
}

/** Says what to do, and shows the line of code that does it; not to readers of a public link, who can't do it. */
export function Do({ what, text, children }: { what: string; text: string; children: ComponentChildren }) {
  if (LINK) return null;
  return (
    <>
      <p>{children}</p>
      <Copied text={text} what={what} />
    </>
  );
}
