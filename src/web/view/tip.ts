/**
 * The tooltip: one box for the whole page, above everything, beside what it explains and inside the window. Escape hides it before it
 * closes anything else; the next touch hides it too, and so does scrolling what it explains away from it.
 */
import { byId } from './dom.ts'
import { pageDocument } from '../../platform/platform.ts'

/** Space to the edges of the window and to what is explained. */
const MARGIN = 8

/** The tooltip. */
export class Tip {
  readonly #box = byId('tip')
  /** What is explained, and where it stood in the window then. */
  #explained: { element: Element; left: number; top: number } | null = null

  constructor() {
    addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || !this.#isShown) return
      this.hide()
      event.preventDefault() // Settings stay open.
    })
    addEventListener('pointerdown', ({ pointerType }) => pointerType === 'touch' && this.hide(), {
      capture: true,
    })
    // The event of a scroll comes a frame later: what was shown meanwhile stands where it should.
    addEventListener('scroll', () => this.#isLeft && this.hide(), { passive: true, capture: true })
  }

  /** Shows words above an element, or a place of it in the window, or below where there is no room. */
  show(words: string, element: Element, place = element.getBoundingClientRect()): void {
    const { left, top, bottom, width } = place
    const box = this.#box
    this.#explained = { element, ...placeOf(element) }
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

  /** Whether what is explained has moved since. */
  get #isLeft(): boolean {
    if (!this.#explained) return false
    const { element, left, top } = this.#explained
    const now = placeOf(element)
    return now.left !== left || now.top !== top
  }
}

function placeOf(element: Element): { left: number; top: number } {
  const { left, top } = element.getBoundingClientRect()
  return { left, top }
}
