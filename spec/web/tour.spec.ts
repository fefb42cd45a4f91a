/**
 * The words of the page: what the tour and the glossary point at is there, and explanations are short enough to be read.
 *
 * Tests src/web/view/glossary.ts.
 */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { tourSteps } from '../../src/web/tour.ts'
import { glossary } from '../../src/web/view/glossary.ts'

const html = readFileSync(new URL('../../src/web/index.html', import.meta.url), 'utf8')
const valuesOf = (attribute: string): string[] =>
  Array.from(html.matchAll(new RegExp(`\\b${attribute}="([^"]*)"`, 'g')), ([, value]) => value)

test('an id is given once', () => {
  const ids = valuesOf('id')
  expect(ids.length).toBeGreaterThan(30)
  expect(ids.toSorted()).toEqual([...new Set(ids)].toSorted())
})

test('labels, descriptions and popovers name elements of the page', () => {
  const named = ['for', 'aria-labelledby', 'popovertarget'].flatMap(valuesOf)
  expect(named.length).toBeGreaterThan(5)
  // The tour writes its own heading.
  for (const id of named) expect([...valuesOf('id'), 'tour-title']).toContain(id)
})

test('the tour has six steps, each of one or two sentences about an element of the page', () => {
  expect(tourSteps).toHaveLength(6)
  expect(new Set(tourSteps.map(({ title }) => title)).size).toBe(6)
  for (const { about, words } of tourSteps) {
    expect(valuesOf('id')).toContain(about)
    expect(words.match(/[.?](?=\s|$)/g)?.length).toBeLessThanOrEqual(2)
  }
})

test('every word that is marked is explained, and every explanation has its word', () => {
  const marked = new Set(valuesOf('data-term'))
  expect([...marked].toSorted()).toEqual(Object.keys(glossary).toSorted())
  for (const words of Object.values(glossary)) expect(words.split(' ').length).toBeLessThanOrEqual(45)
  expect(glossary.kl).toContain('of this text; another differs')
})
