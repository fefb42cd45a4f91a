/**
 * The pages of the site, by the names that all of them have for one another.
 */
import { markup, type Markup } from '../src/experiments/report/markup.ts'

/** Their addresses from the home page. */
const sitePages = {
  Home: '',
  'Live page': 'live/',
  'Annotated page': 'spec/',
  Reference: 'reference/',
  Sources: 'source/',
} as const

type SitePage = keyof typeof sitePages

/** Links to all pages, in one order. @param up the address of the site from the page @param here the page itself, which is no link */
export function siteNavigation(up: string, here?: SitePage): Markup {
  const links = Object.entries(sitePages).map(([name, address]) =>
    name === here
      ? markup`<span aria-current="page">${name}</span> `
      : markup`<a href="${up}${address}"${name === 'Annotated page' ? markup` data-spec` : null}>${name}</a> `,
  )
  return markup`${links}`
}
