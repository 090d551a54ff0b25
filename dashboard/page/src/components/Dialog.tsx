/*
 * Is a dialog over the page. Escape, its button and a click beside it close it, and the focus goes back to where it was.
 */
import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';

interface Props {
  title: string;
  kind?: string; // a class
  close: () => void;
  children: ComponentChildren;
}

export function Dialog({ title, kind = '', close, children }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const { current } = dialog;
    const opener = document.activeElement;
    current!.showModal();
    return () => {
      current!.close();
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      class={kind}
      aria-labelledby="dialog-title"
      onCancel={event => (event.preventDefault(), close())}
      onPointerDown={event => event.target === dialog.current && close()}
    >
      <div class="inside">
        <header>
          <h2 id="dialog-title">{title}</h2>
          <span class="space" />
          <button type="button" class="button" onClick={close}>
            Close
          </button>
        </header>
        {children}
      </div>
    </dialog>
  );
}
