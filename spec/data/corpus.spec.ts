/**
 * The Brown corpus as text: tags go, punctuation and quotes come back together, genres and parts are what they should be.
 */
import { describe, expect, test } from 'vitest'
import { loadBrown, splitDocuments, untag } from '../../src/data/corpus.ts'

describe('untag', () => {
  const cases: [string, string, string][] = [
    ['drops tags', 'The/at Fulton/np-tl County/nn-tl', 'The Fulton County'],
    ['keeps a slash that belongs to the word', 'about/rb 1/2/cd mile/nn', 'about 1/2 mile'],
    [
      'sets marks against the word before',
      'so/rb ,/, then/rb ;/. yes/rb :/: no/rb ./.',
      'so, then; yes: no.',
    ],
    ['opens and closes quotes', "``/`` no/at evidence/nn ''/'' that/cs", '"no evidence" that'],
    [
      'puts commas and full stops inside quotes',
      "``/`` Yes/rb ''/'' ,/, he/pps said/vbd ./.",
      '"Yes," he said.',
    ],
    ['takes doubled ends once', "``/`` Hurry/vb ''/'' !/. !/. He/pps ran/vbd ?/. ?/.", '"Hurry!" He ran?'],
    ['knows brackets', 'it/pps (/( or/cc not/* )/) is/bez', 'it (or not) is'],
    ['alternates single quotes', "``/`` the/at '/' Met/np '/' ''/'' ./.", '"the \'Met\'."'],
    ['leaves out what has no letter form', 'by/in **zg/nn and/cc', 'by and'],
    ['does not double the stop of an abbreviation', 'Allen/np Jr./np ./. He/pps', 'Allen Jr. He'],
    ['keeps paragraphs', '\n\n\tOne/cd ./.\nTwo/cd ./.\n\n\n\tThree/cd ./.\n', 'One. Two.\nThree.'],
  ]
  test.each(cases)('%s', (_, tagged, text) => expect(untag(tagged)).toBe(text))
})

describe('the Brown corpus', () => {
  test('is 500 samples of 15 genres, about a million words, without tags', async () => {
    const documents = await loadBrown()
    expect(documents).toHaveLength(500)
    expect(new Set(documents.map(({ genre }) => genre)).size).toBe(15)
    const words = documents.reduce((total, { text }) => total + text.split(/\s+/).length, 0)
    expect(words).toBeGreaterThan(950_000)
    expect(words).toBeLessThan(1_050_000)
    for (const { text } of documents) expect(text).not.toMatch(/\w\/(nn|at|vb|in|jj)\b|``/)
    expect(documents[0].text).toMatch(
      /^The Fulton County Grand Jury said Friday an investigation of Atlanta's recent primary election produced "no evidence"/,
    )
  })

  test('is split by file: the three parts hold every genre and share nothing', async () => {
    const { calibrate, evaluate, final } = splitDocuments(await loadBrown())
    const parts = [calibrate, evaluate, final]
    expect(parts.map(({ length }) => length)).toEqual([307, 93, 100])
    expect(new Set(parts.flat().map(({ name }) => name)).size).toBe(500)
    for (const part of parts) expect(new Set(part.map(({ genre }) => genre)).size).toBe(15)
  })
})
