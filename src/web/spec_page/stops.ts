/**
 * The buttons of a phone that lead from one figure or law to the next: there the page is as long as ninety screens.
 */
import { pageDocument } from '../../platform/platform.ts'
import { byId, showInSight } from '../view/dom.ts'

/** How far from where the page scrolls to something still counts as there, in pixels. */
const THERE = 4

/** Which of some distances from the top is next, or the last before: the index, or -1 if there is none. */
export function nextStop(tops: readonly number[], isForward: boolean): number {
  return isForward ? tops.findIndex((top) => top > THERE) : tops.findLastIndex((top) => top < -THERE)
}

/** Shows the buttons, which do nothing without this. */
export function startStops(): void {
  const place = byId('stops')
  place.hidden = false
  for (const [i, button] of place.querySelectorAll('button').entries())
    button.addEventListener('click', () => {
      const { scrollPaddingTop } = getComputedStyle(pageDocument().documentElement)
      const stops = [...pageDocument().querySelectorAll('main .figure, main .law')]
      const tops = stops.map((stop) => {
        const { scrollMarginTop } = getComputedStyle(stop)
        const { top } = stop.getBoundingClientRect()
        return top - Number.parseFloat(scrollMarginTop) - Number.parseFloat(scrollPaddingTop)
      })
      const found = nextStop(tops, i === 1)
      if (found >= 0) showInSight(stops[found], 'start')
    })
}
