import { expect, test } from 'vitest'
import { Interrupts } from '../../src/cli/interrupts.ts'

test.each([0, 5, 10 ** 6])(
  'signals of one key press are one, and a later one ends the process (from %d)',
  (start) => {
    const interrupts = new Interrupts()
    const taken = [0, 2, 300, 301, 302].map((after) => interrupts.take(start + after))
    expect(taken).toEqual(['ends the work', 'nothing', 'nothing', 'ends the process', 'ends the process'])
  },
)
