/**
 * The tooltip: one box for the whole page, beside what it explains and inside the window. Escape hides it, and so do scrolling and the next touch.
 */
import { byId } from './dom.ts'
import { pageDocument } from '../../platform/platform.ts'

/** Space to the edges of the window and to what is explained. */
const MARGIN = 8

/** The tooltip. */
export class Tip {
  readonly #box = byId('tip')

  constructor() {
    addEventListener('keydown', ({ key }) => key === 'Escape' && this.hide())
    addEventListener('pointerdown', ({ pointerType }) => pointerType === 'touch' && this.hide(), {
      capture: true,
    })
    addEventListener('scroll', () => this.hide(), { passive: true, capture: true })
  }

  /** Shows words above a place in the window, or below it where there is no room. */
  show(words: string, { left, top, bottom, width }: DOMRect): void {
    const box = this.#box
    box.textContent = words
    box.hidden = false
    const { clientWidth, clientHeight } = pageDocument().documentElement
    const { offsetWidth, offsetHeight } = box
    const x = Math.max(MARGIN, Math.min(clientWidth - offsetWidth - MARGIN, left + (width - offsetWidth) / 2))
    const above = top - offsetHeight - MARGIN
    const y = above >= MARGIN ? above : Math.min(bottom + MARGIN, clientHeight - offsetHeight - MARGIN)
    // A transformation moves nothing else, and is no layout shift.
    box.style.transform = `translate(${Math.round(x)}px, ${Math.round(y)}px)`
  }

  hide(): void {
    this.#box.hidden = true
  }
}
