/**
 * The bar of a phone: where the reader is, or was before the contents, and buttons that lead from one function, or from one figure, to
 * the next. There the pages are as long as ninety screens.
 */
import { pageDocument } from '../../platform/platform.ts'
import { byId, showInSight } from '../view/dom.ts'

/** Before the name of where the reader was. */
const BACK = '← back to '

/** How far from where the page scrolls to something still counts as there, in pixels. */
const THERE = 4

/** Which of some distances from the top is next, or the last before: the index, or -1 if there is none. */
export function nextStop(tops: readonly number[], isForward: boolean): number {
  return isForward ? tops.findIndex((top) => top > THERE) : tops.findLastIndex((top) => top < -THERE)
}

/** The last of some places, from the top down, that begins above the middle of the screen; -1 before the first. */
export function placeAt(tops: readonly number[], height: number): number {
  return tops.findLastIndex((top) => top < height / 2)
}

/** What the buttons lead to: the first two of the bar, and the others. */
const stops = ['main .row[id]:not(.type)', 'main .figure'] as const

/** Says in the bar which chapter and which definition are on the screen, or before the first the one that was: the way back. */
export function startHere(): void {
  const here = byId<HTMLAnchorElement>('here')
  const page = pageDocument()
  const places = [...page.querySelectorAll<HTMLElement>('main .chapter, main .row[id]')]
  let isAsked = false
  const show = (): void => {
    isAsked = false
    // Not shown where the bar is not.
    if (here.parentElement?.offsetParent === null) return
    const { clientHeight } = page.documentElement
    const place =
      places[
        placeAt(
          places.map((one) => one.getBoundingClientRect().top),
          clientHeight,
        )
      ]
    if (place === undefined) {
      here.hidden = here.textContent === ''
      if (!here.hidden && !here.textContent.startsWith(BACK)) here.prepend(BACK)
      return
    }
    here.hidden = false
    const title = place.closest('.chapter')?.querySelector('h2')?.textContent ?? ''
    const name = place.matches('.row') ? place.id.slice(place.id.indexOf('.') + 1) : ''
    here.textContent = name === '' || name === title ? title : `${name}: ${title}`
    here.href = `#${place.id}`
  }
  page.addEventListener(
    'scroll',
    () => {
      if (!isAsked) requestAnimationFrame(show)
      isAsked = true
    },
    { passive: true },
  )
  show()
}

/** Shows the buttons, which do nothing without this. */
export function startStops(): void {
  startHere()
  const place = byId('stops')
  place.hidden = false
  for (const [i, button] of place.querySelectorAll('button').entries())
    button.addEventListener('click', () => {
      const { scrollPaddingTop } = getComputedStyle(pageDocument().documentElement)
      const found = [...pageDocument().querySelectorAll(stops[i >> 1])]
      const tops = found.map((stop) => {
        const { scrollMarginTop } = getComputedStyle(stop)
        const { top } = stop.getBoundingClientRect()
        return top - Number.parseFloat(scrollMarginTop) - Number.parseFloat(scrollPaddingTop)
      })
      const next = nextStop(tops, i % 2 === 1)
      if (next >= 0) showInSight(found[next], 'start')
    })
}
