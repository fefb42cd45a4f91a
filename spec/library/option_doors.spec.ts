/**
 * An option of the library is the same option as a flag, as a field of a request and in the address of the page: each takes what
 * the record of the option takes, and says what that says. What is called like an option is found, not listed.
 *
 * Tests src/tensor/option.ts, src/library/options.ts, src/cli/flags.ts, src/cli/values.ts, src/server/requests.ts and
 * src/web/page_state.ts.
 */
import type { Command } from 'commander'
import fc from 'fast-check'
import * as v from 'valibot'
import { describe, expect, test } from 'vitest'
import { makeProgram } from '../../src/cli/program.ts'
import { chatKinds, maskKinds, openKinds } from '../../src/library/options.ts'
import { anySeed, bodies } from '../../src/server/requests.ts'
import type { Kind, OptionRecord } from '../../src/tensor/option.ts'
import { readState } from '../../src/web/page_state.ts'
import { lawForAll } from '../../src/verify/law.ts'
import { quietSession } from '../cli/run_inside.ts'
import { kills, stateLaw } from '../harness/seed.ts'

const options = Object.entries<Kind>({ ...openKinds, ...maskKinds, ...chatKinds }).filter(
  (one): one is [string, OptionRecord] => 'read' in one[1],
)

/** What a door says of a text, or of the value that it spells: null if it takes it. */
type Door = (text: string) => string | null

const record =
  ({ read, holds, words }: OptionRecord): Door =>
  (text) =>
    holds(read(text)) ? null : words

// ---- Doors -----------------------------------------------------------------------------------------------------------

/**
 * Flags that are called like an option and are another thing: models, folders, what a calibration has, models without a file, an answer,
 * which has a token at least, and learning, which knows no means.
 */
const others = [
  'calibrate --threads',
  'reproduce --threads',
  'reproduce --cache',
  'verify --seed',
  'train --criterion',
  'learn --criterion',
  'learn --compensate',
  'cost --storage',
  'chat --max-tokens',
]

function flagsOf(command: Command, name: string): Map<string, Door> {
  const found = new Map(command.commands.flatMap((one) => [...flagsOf(one, `${name} ${one.name()}`.trim())]))
  for (const flag of command.options) {
    const [, option] = options.find(([key]) => key === flag.attributeName()) ?? []
    // A flag of several values is read by listOf, which reads each as flagOf does.
    if (
      !option ||
      flag.flags.endsWith('<list>') ||
      flag.flags.endsWith('<names>') ||
      flag.hidden ||
      flag.negate
    )
      continue
    if (others.includes(`${name} ${flag.long}`)) continue
    found.set(`${name} ${flag.long}`, (text) => {
      try {
        flag.parseArg?.(text, undefined)
        return null
      } catch (error) {
        const { code, message } = error as { code: string; message: string }
        expect([code, message.split(': expected ')[0]]).toEqual([option.code, flag.long])
        return /: expected (.*), got /s.exec(message)?.[1] ?? message
      }
    })
  }
  return found
}

const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

function fieldsOf(kind: 'completion' | 'chat'): Map<string, Door> {
  const entries: Readonly<Record<string, v.GenericSchema>> = bodies[kind].entries
  const there = options.filter(([name]) => Object.hasOwn(entries, snake(name)))
  return new Map(
    there.map(([name, option]) => [
      `${kind} ${snake(name)}`,
      (text) => {
        const value = option.read(text)
        // JSON has no NaN and no infinity.
        if (typeof value === 'number' && !Number.isFinite(value))
          return record(optionOf(`${kind} ${snake(name)}`))(text)
        const { success, issues } = v.safeParse(entries[snake(name)], value)
        return success ? null : issues[0].message
      },
    ]),
  )
}

const session = quietSession(() => {})
const flags = flagsOf(await makeProgram(session, '0', () => {}), '')
const fields = new Map([...fieldsOf('completion'), ...fieldsOf('chat')])
/** The page has shares in percent and temperatures of a slider; its planners are fewer. */
const address = new Map(
  ['criterion', 'scope', 'seed'].map((name): [string, Door] => [
    `address ${name}`,
    (text) => {
      const [line] = readState(new URLSearchParams([[name, text]]).toString())?.refused ?? []
      return line === undefined ? null : (/: expected (.*), got /s.exec(line)?.[1] ?? line)
    },
  ]),
)

// ---- The law -----------------------------------------------------------------------------------------------------------

const text = fc.oneof(
  fc.constantFrom('', 'auto', 'once', 'no-such', ...options.flatMap(([, { names = [] }]) => names)),
  fc.double({ min: -2, max: 110, noNaN: true }).map(String),
  fc.integer({ min: -2, max: 40 }).map(String),
  fc.constantFrom('0', '1', '-1', '33', '4294967295', '4294967296', '1e999', '1e1', '0x10', ' 1', '1.0'),
)

/** A door and the record of its option. */
interface Pair {
  readonly door: Door
  readonly option: OptionRecord
}

const isTheOption = lawForAll(
  'it takes what the option takes, and says what the option says',
  { text },
  ({ door, option }: Pair, given) => {
    expect(door(given.text)).toBe(record(option)(given.text))
  },
)

const optionOf = (door: string): OptionRecord => {
  if (fields.has(door) && door.endsWith(' seed')) return anySeed
  const name = door
    .split(' ')
    .at(-1)
    ?.replace(/^--/, '')
    .replaceAll(/[-_](\w)/g, (_, letter: string) => letter.toUpperCase())
  return options.find(([one]) => one === name)?.[1] as OptionRecord
}

const doors = new Map([...flags, ...fields, ...address])

describe.each([...doors])('%s', (name, door) => {
  stateLaw(isTheOption, { door, option: optionOf(name) })
})

test('every option that a text can spell is a flag of some command, and sampling and planning are fields of requests', () => {
  const spelled = (names: Iterable<string>): string[] =>
    [...new Set([...names].map((name) => optionOf(name)))].map((one) => one.words)
  expect(new Set(spelled(flags.keys()))).toEqual(new Set(options.map(([, { words }]) => words)))
  expect(
    [...fields.keys()].filter((name) => name.startsWith('completion')).map((name) => name.slice(11)),
  ).toEqual(
    expect.arrayContaining([
      'max_tokens',
      'temperature',
      'top_p',
      'top_k',
      'seed',
      'sparsity',
      'every',
      'check',
    ]),
  )
})

describe('bugs planted in doors are found', () => {
  const option = optionOf('--top-p')
  test.each<[string, Door]>([
    ['takes what the option refuses', (given) => (given === '-1' ? null : record(option)(given))],
    ['refuses the end of a range', (given) => (given === '1' ? option.words : record(option)(given))],
    ['has other words', (given) => record(option)(given)?.replace('from', 'over') ?? null],
    ['reads another spelling', (given) => (given.trim() === '1' ? null : record(option)(given))],
  ])('one that %s', (_, door) => kills(isTheOption, { door, option }))
})
