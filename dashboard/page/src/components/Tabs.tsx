/*
 * Is a card with several tables, one of which is shown. The arrow keys move along the tabs, as in every list of tabs.
 */
import type { ComponentChildren, TargetedKeyboardEvent } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { showTab, tabOf } from '../state';
import { CardTable } from './Table';

export interface Tab {
  panel: string;
  title: string;
  columns?: string[];
  nothing?: ComponentChildren;
  draw?: (isWanted: boolean) => ComponentChildren; // draws something that is not the table of a panel
  others?: [panel: string, title: string][]; // of the same kind, to choose among once the tab is shown; the tab's own is the first
}

interface Props {
  group: string;
  title: string;
  tabs: Tab[];
}

export function Tabs({ group, title, tabs }: Props) {
  const [card, isSeen] = useSeen();
  const wanted = tabOf(group, tabs[0]!.panel);
  const chosen = tabs.find(tab => tab.panel === wanted || tab.others?.some(([panel]) => panel === wanted)) ?? tabs[0]!;
  const [panel, name] = chosen.others?.find(([panel]) => panel === wanted) ?? [chosen.panel, chosen.title];
  const move = (event: TargetedKeyboardEvent<HTMLElement>) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    // From the tab that has the focus, which moves at once: a second key may come before the page shows the tab of the first.
    const drawn = [...event.currentTarget.querySelectorAll<HTMLElement>('[role=tab]')];
    const next = (drawn.indexOf(event.target as HTMLElement) + by + tabs.length) % tabs.length;
    showTab(group, tabs[next]!.panel);
    drawn[next]?.focus();
  };
  return (
    <section class="card group" ref={card} aria-labelledby={`${group}-title`}>
      <div class="head">
        <h2 id={`${group}-title`}>{title}</h2>
        {tabs.length > 1 && (
          <div class="tabs" role="tablist" aria-label={title} onKeyDown={move}>
            {tabs.map(tab => (
              <button
                type="button"
                role="tab"
                key={tab.panel}
                id={`${group}-${tab.panel}`}
                aria-selected={tab === chosen}
                aria-controls={`${group}-panel`}
                tabIndex={tab === chosen ? 0 : -1}
                onClick={() => showTab(group, tab.panel)}
              >
                {tab.title}
              </button>
            ))}
          </div>
        )}
      </div>
      <div class="shown" id={`${group}-panel`} role={tabs.length > 1 ? 'tabpanel' : undefined} aria-labelledby={tabs.length > 1 ? `${group}-${chosen.panel}` : undefined}>
        {chosen.others && (
          <select class="others" aria-label={`${chosen.title} by`} value={panel} onChange={event => showTab(group, event.currentTarget.value)}>
            {chosen.others.map(([panel, title]) => (
              <option key={panel} value={panel}>
                {title}
              </option>
            ))}
          </select>
        )}
        {chosen.draw?.(isSeen) ?? (
          <CardTable
            key={panel}
            panel={panel}
            title={name}
            columns={chosen.columns ?? ['visitors', 'percentage']}
            isWanted={isSeen}
            nothing={chosen.nothing}
          />
        )}
      </div>
    </section>
  );
}

/** Tells when an element comes near the visible part of the page, so that a panel far below asks for nothing yet. */
export function useSeen() {
  const element = useRef<HTMLElement>(null);
  const [isSeen, see] = useState(false);
  useEffect(() => {
    const watch = new IntersectionObserver(entries => entries.some(entry => entry.isIntersecting) && (see(true), watch.disconnect()), {
      rootMargin: '200px',
    });
    watch.observe(element.current!);
    return () => watch.disconnect();
  }, []);
  return [element, isSeen] as const;
}
