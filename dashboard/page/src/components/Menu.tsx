/*
 * Is a button with a panel below it. Escape, a click elsewhere and a Tab out of it close the panel; Escape gives the focus back to the button.
 */
import type { ComponentChildren } from 'preact';
import { useLayoutEffect, useRef, useState } from 'preact/hooks';

interface Props {
  label: ComponentChildren;
  name?: string; // for screen readers, where the label says too little
  kind?: string; // a class
  align?: 'left' | 'right';
  children: (close: () => void) => ComponentChildren;
}

export function Menu({ label, name, kind = '', align = 'left', children }: Props) {
  const [isOpen, open] = useState(false);
  const whole = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const close = () => {
    open(false);
    button.current?.focus();
  };
  // Before it is painted: a quick Escape closes what is just opening.
  useLayoutEffect(() => {
    if (!isOpen) return;
    const outside = (event: Event) => whole.current?.contains(event.target as Node) || open(false);
    const escape = (event: KeyboardEvent) => event.key === 'Escape' && close();
    document.addEventListener('pointerdown', outside);
    document.addEventListener('focusin', outside);
    document.addEventListener('keydown', escape);
    return () => {
      document.removeEventListener('pointerdown', outside);
      document.removeEventListener('focusin', outside);
      document.removeEventListener('keydown', escape);
    };
  }, [isOpen]);
  return (
    <div class={`menu ${kind}`} ref={whole}>
      <button type="button" class="button" ref={button} aria-expanded={isOpen} aria-label={name} onClick={() => open(!isOpen)}>
        {label}
        <svg class="caret" viewBox="0 0 10 6" aria-hidden="true">
          <path d="m1 1 4 4 4-4" />
        </svg>
      </button>
      {isOpen && <div class={`panel ${align}`}>{children(close)}</div>}
    </div>
  );
}

interface ChoiceProps {
  title: string;
  options: [value: string, title: string][];
  chosen: string;
  choose: (value: string) => void;
}

/** Is a list of options, one of which is chosen. */
export function Choices({ title, options, chosen, choose }: ChoiceProps) {
  return (
    <div class="choices" role="group" aria-label={title}>
      <p class="label" aria-hidden="true">
        {title}
      </p>
      {options.map(([value, text]) => (
        <button type="button" key={value} aria-pressed={value === chosen} onClick={() => choose(value)}>
          {text}
          {value === chosen && <Check />}
        </button>
      ))}
    </div>
  );
}

export const Check = () => (
  <svg class="check" viewBox="0 0 12 10" aria-hidden="true">
    <path d="m1 5 3.5 4L11 1" />
  </svg>
);

/** Draws the cross of a button that removes something. */
export const Cross = () => (
  <svg viewBox="0 0 10 10" aria-hidden="true">
    <path d="m1.5 1.5 7 7m0-7-7 7" />
  </svg>
);
