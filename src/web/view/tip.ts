/**
 * The tooltip: one box for the whole page, above everything, beside what it explains and inside the window. Escape hides it before it
 * closes anything else; scrolling and the next touch hide it too.
 */
import { byId } from './dom.ts'
import { pageDocument } from '../../platform/platform.ts'

/** Space to the edges of the window and to what is explained. */
const MARGIN = 8

/** The tooltip. */
export class Tip {
  readonly #box = byId('tip')

  constructor() {
    addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || !this.#isShown) return
      this.hide()
      event.preventDefault() // Settings stay open.
    })
    addEventListener('pointerdown', ({ pointerType }) => pointerType === 'touch' && this.hide(), {
      capture: true,
    })
    addEventListener('scroll', () => this.hide(), { passive: true, capture: true })
  }

  /** Shows words above a place in the window, or below it where there is no room. */
  show(words: string, { left, top, bottom, width }: DOMRect): void {
    const box = this.#box
    box.textContent = words
    // Shown anew, it lies above what was opened meanwhile.
    this.hide()
    box.showPopover()
    const { clientWidth, clientHeight } = pageDocument().documentElement
    const { offsetWidth, offsetHeight } = box
    const x = Math.max(MARGIN, Math.min(clientWidth - offsetWidth - MARGIN, left + (width - offsetWidth) / 2))
    const above = top - offsetHeight - MARGIN
    const y = above >= MARGIN ? above : Math.min(bottom + MARGIN, clientHeight - offsetHeight - MARGIN)
    // A transformation moves nothing else, and is no layout shift.
    box.style.transform = `translate(${Math.round(x)}px, ${Math.round(y)}px)`
  }

  hide(): void {
    if (this.#isShown) this.#box.hidePopover()
  }

  get #isShown(): boolean {
    return this.#box.matches(':popover-open')
  }
}
