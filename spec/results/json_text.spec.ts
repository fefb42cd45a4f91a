/**
 * Results as JSON: the text says what the result holds, and a list of numbers takes one line.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { jsonText } from '../../src/results/json_text.ts'
import { kills, lawForAll, stateLaw } from '../harness/seed.ts'

/** Texts that look like what is shortened. */
const someText = fc.constantFrom('', '[\n 1,\n 2 ]', '[ 1,  2 ]', '"[\n1]"', 'a  b')
const someResult = fc.record({
  text: someText,
  numbers: fc.array(
    fc.oneof(
      fc.integer(),
      fc.double({ noNaN: true, noDefaultInfinity: true }).map((x) => x + 0),
    ),
  ),
  texts: fc.array(someText),
  objects: fc.array(fc.record({ numbers: fc.array(fc.integer()), text: someText })),
})

const saysAll = lawForAll(
  'the text of a result is read as the result, and each of its lists of numbers is on one line',
  { result: someResult },
  (write: typeof jsonText, { result }) => {
    const text = write(result)
    expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(result)))
    for (const list of [result.numbers, ...result.objects.map(({ numbers }) => numbers)])
      if (list.length > 0)
        expect(text).toContain(`"numbers": [ ${list.map((one) => JSON.stringify(one)).join(', ')} ]`)
    expect(text.endsWith('}\n')).toBe(true)
  },
)
stateLaw(saysAll, jsonText)

test('a text that loses its spaces is found', () =>
  kills(saysAll, (result) => jsonText(result).replace(/ {2}/g, ' ')))
