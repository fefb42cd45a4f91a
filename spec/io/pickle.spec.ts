/**
 * Pickles: PK01 to PK16 of the list of hostile files. A pickle describes tensors or is refused; what it asks to
 * import is named in the error and never looked up.
 *
 * Tests src/io/pickle_values.ts.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { unpickle } from '../../src/io/pickle.ts'
import { isKind, type PickleValue } from '../../src/io/pickle_values.ts'
import { InputError } from '../../src/tensor/errors.ts'
import { law, scaledRuns } from '../harness/seed.ts'
import { concat, littleEndian } from '../../fixtures/hostile/bytes.ts'
import { answerOf, damagedValues, refusalOf, withByte } from './hostile.ts'
import {
  dict,
  floatTensor,
  P,
  pickle,
  storage,
  tuple,
  type Piece,
} from '../../fixtures/hostile/build_torch.ts'

const read = (bytes: Uint8Array): PickleValue => unpickle(bytes, 'data.pkl')
const f32 = storage('FloatStorage', '0', P.int(6))

describe('files of torch.save are read', () => {
  test('a state dict with everything torch puts into it', () => {
    const metadata = dict([
      P.text('_metadata'),
      concat(P.ordered, '(', P.text(''), dict([P.text('version'), P.int(1)]), 'u'),
    ])
    const parameter = concat(
      P.global('torch._utils', '_rebuild_parameter'),
      tuple(floatTensor('1', [2]), P.true, P.ordered),
      'R',
    )
    const value = read(
      pickle(
        P.ordered,
        P.put(0),
        '(',
        P.text('w'),
        floatTensor('0', [2, 3]),
        P.text('p'),
        parameter,
        'u',
        metadata,
        'b',
      ),
    )
    expect(isKind(value, 'dict') && [...value.items.keys()]).toEqual(['w', 'p'])
    expect(isKind(value, 'dict') && value.items.get('w')).toEqual({
      kind: 'tensor',
      storage: { kind: 'storage', key: '0', dtype: 'F32', length: 6 },
      offset: 0,
      shape: [2, 3],
      strides: [3, 1],
    })
    expect(isKind(value, 'dict') && value.items.get('p')).toMatchObject({ kind: 'tensor', shape: [2] })
  })

  test.each<[string, Piece | string, unknown]>([
    ['None', 'N', null],
    ['True', [0x88], true],
    ['an int', P.int(-5), -5],
    ['a byte', concat('K', [200]), 200],
    ['two bytes', concat('M', [0, 1]), 256],
    ['a long', P.long(-(2n ** 53n) + 1n), -(2 ** 53) + 1],
    ['a long of no bytes', concat([0x8a, 0]), 0],
    ['text', P.text('é😀'), 'é😀'],
    ['a float', P.float, { kind: 'float', value: 0 }],
    ['(1, 2, 3)', concat(P.int(1), P.int(2), P.int(3), [0x87]), { kind: 'tuple', items: [1, 2, 3] }],
    ['()', ')', { kind: 'tuple', items: [] }],
    ['[None]', concat(']', 'N', 'a'), { kind: 'list', items: [null] }],
    ['[1, 2]', concat('](', P.int(1), P.int(2), 'e'), { kind: 'list', items: [1, 2] }],
    [
      'memo',
      concat(
        P.text('x'),
        'q',
        [7],
        'r',
        littleEndian(2 ** 32 - 1, 4),
        'j',
        littleEndian(2 ** 32 - 1, 4),
        [0x86],
      ),
      { kind: 'tuple', items: ['x', 'x'] },
    ],
    [
      'an item at a time',
      concat('}', P.text('a'), 'N', 's'),
      { kind: 'dict', items: new Map([['a', null]]), ordered: false },
    ],
    [
      '__proto__ as a key',
      dict([P.text('__proto__'), [0x88]]),
      { kind: 'dict', items: new Map([['__proto__', true]]), ordered: false },
    ],
  ])('%s', (_, pieces, expected) => {
    expect(read(pickle(pieces))).toEqual(expected)
  })

  test.each(['Double', 'Float', 'Half', 'BFloat16', 'Long', 'Int', 'Short', 'Char', 'Byte', 'Bool'])(
    '%sStorage',
    (name) => {
      expect(read(pickle(storage(`${name}Storage`, '12', P.int(3))))).toMatchObject({
        kind: 'storage',
        key: '12',
        length: 3,
      })
    },
  )
})

describe('unusual pickles', () => {
  test('PK14 a list that contains itself is read', () => {
    const value = read(pickle(']', P.put(0), P.get(0), 'a'))
    expect(isKind(value, 'list') && value.items[0]).toBe(value)
  })
})

describe('damage', () => {
  const sample = pickle(dict([P.text('w'), floatTensor('0', [2, 3])], [P.text('b'), floatTensor('1', [3])]))

  test('every strict prefix is refused', async () => {
    for (let length = 0; length < sample.length; length++)
      await refusalOf(() => read(sample.slice(0, length)))
  })

  test('any change of any byte gives a value or a typed error', async () => {
    for (let index = 0; index < sample.length; index++) {
      for (const value of damagedValues(sample[index], scaledRuns(1) >= 10))
        await answerOf(() => read(withByte(sample, index, value)))
    }
  })

  const marks = [...'N()tusaebRQ}]02o', [0x85], [0x86], [0x87], [0x88], [0x93], [0x81]]
  const values = [P.put(0), P.get(0), P.put(1), P.get(1), P.ordered, P.text('a'), P.int(1), P.float, f32]
  const calls = [
    floatTensor('0', [2]),
    P.global('torch._utils', '_rebuild_tensor_v2'),
    P.global('os', 'system'),
  ]
  const pieces = fc.constantFrom<Piece | string>(...marks, ...values, ...calls)
  law(
    'any order of opcodes gives a value or a typed error',
    { parts: fc.array(pieces, { maxLength: 25 }) },
    async ({ parts }) => {
      const answer = await answerOf(() => read(pickle(...parts)))
      if (
        parts.some((part) => part instanceof Uint8Array && new TextDecoder().decode(part) === 'cos\nsystem\n')
      ) {
        expect(answer).toBeInstanceOf(InputError)
      }
    },
    { runs: 3000 },
  )
})
