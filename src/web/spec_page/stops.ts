/**
 * The bar of a phone: where the reader is, and buttons that lead from one figure or law to the next. There the pages are as long as
 * ninety screens.
 */
import { pageDocument } from '../../platform/platform.ts'
import { byId, showInSight } from '../view/dom.ts'

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

/** Says in the bar which chapter and which definition are on the screen. */
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
    here.hidden = place === undefined
    if (place === undefined) return
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
