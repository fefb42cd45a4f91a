/**
 * Every door of the command line: each flag and argument of each command is given every kind of wrong value, and each
 * refusal is one line, its exit code, and nothing else. Commands that load a model before they refuse load a small one.
 *
 * Tests src/cli/run.ts, src/cli/flags.ts, src/cli/values.ts, src/cli/failure.ts, src/cli/grid_flags.ts, src/cli/task_flags.ts,
 * src/cli/queue_flags.ts, src/cli/writing_flags.ts and src/cli/commands/.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Command, Option } from 'commander'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeProgram } from '../../src/cli/program.ts'
import { usage, type Door, type Wrong } from './door.ts'
import { calibrationArguments, leastArguments, makeDoors, makePlaces } from './door_table.ts'
import { writeModel } from './options/small_files.ts'
import type { CliResult } from './run_cli.ts'
import { quietSession, runInside, type Run } from './run_inside.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-doors-'))
afterAll(() => rmSync(folder, { recursive: true }))

const places = makePlaces(folder)
const doors = makeDoors(places)
const least = leastArguments(places)

beforeAll(async () => {
  await writeModel(places.model, 3)
  expect(await runInside(calibrationArguments(places))).toMatchObject({ code: 0, stderr: '' })
})

// ---- What there is -------------------------------------------------------------------------------------------------

/** A command by its whole name. */
interface Named {
  readonly name: string
  readonly command: Command
}

function commandsOf(command: Command, name = ''): Named[] {
  const below = command.commands.flatMap((one) => commandsOf(one, `${name} ${one.name()}`.trim()))
  return [{ name, command }, ...below]
}

const all = commandsOf(
  await makeProgram(
    quietSession(() => {}),
    '0',
    () => {},
  ),
)

/** The flag as the table calls it: without its short form. */
const flagOf = ({ flags }: Option): string => flags.replace(/^-\w, /, '')
const takesValue = (option: Option): boolean => !option.isBoolean() && !option.negate

/** The row of a flag or argument; the command's own goes first. */
function rowOf(name: string, key: string): [key: string, door: Door] | null {
  const found = [`${name} ${key}`, key].find((one) => Object.hasOwn(doors, one))
  return found === undefined ? null : [found, doors[found]]
}

/** A flag or an argument, and what stands behind it. */
interface Case {
  readonly name: string
  readonly key: string
  readonly door: Door
  /** Null for an argument. */
  readonly flag: string | null
  /** Its place, of an argument. */
  readonly place: number
}

function casesOf({ name, command }: Named): Case[] {
  const cases: Case[] = []
  command.registeredArguments.forEach((argument, place) => {
    const key = `<${argument.name()}>`
    const row = rowOf(name, key)
    if (row) cases.push({ name, key, door: row[1], flag: null, place })
  })
  for (const option of command.options.filter(takesValue)) {
    const key = flagOf(option)
    const door = option.argChoices ? choiceDoor(option) : rowOf(name, key)?.[1]
    if (door) cases.push({ name, key, door, flag: option.long as string, place: 0 })
  }
  return cases
}

/** The codes of options of the library that take names; other flags have VALUE. */
const nameCodes: Readonly<Record<string, string>> = {
  '--backend': 'BACKEND_NAME',
  '--wide': 'WIDE',
  '--storage': 'STORAGE',
  '--cache': 'CACHE',
  '--mode': 'MODE',
  '--prefill': 'PREFILL',
  '--scope': 'SCOPE',
  '--criterion': 'CRITERION_NAME',
  '--compensate': 'COMPENSATE',
}

/** No other name than those is taken, and the line says all of them. */
function choiceDoor({ long, argChoices: choices = [] }: Option): Door {
  const [first] = choices
  const otherCase = first === first.toUpperCase() ? first.toLowerCase() : first.toUpperCase()
  const wrong = ['no-such', '', otherCase, `${first} `]
  return { wrong: usage(nameCodes[long as string] ?? 'VALUE', `one of ${choices.join(', ')}`, ...wrong) }
}

/** The least arguments of a command with one wrong value among them. */
function argumentsOf({ name, door, flag, place }: Case, { value }: Wrong): string[] {
  const given = [...least[name]]
  const drop = (other: string): void => {
    if (given.includes(other)) given.splice(given.indexOf(other), 2)
  }
  const words = name === '' ? [] : name.split(' ')
  if (flag === null) return [...words, ...given.with(place, value)]
  const beside = [...(door.beside ?? [])]
  for (const other of [flag, ...beside.filter((word) => word.startsWith('--'))]) drop(other)
  // Words in front of the flags take the place of the command's own arguments.
  given.splice(
    0,
    [...beside, '--'].findIndex((word) => word.startsWith('--')),
  )
  if (name === 'masks' && flag === '--text') given.shift()
  if (flag === '--wikitext') drop('--text')
  return [...words, ...given, ...beside, `${flag}=${value}`]
}

// ---- What is asked of a refusal --------------------------------------------------------------------------------------

/** Nothing on stdout, exactly one line on stderr: "shadowllm: subject: words [CODE]". */
function expectRefusal({ code, stdout, stderr }: CliResult, wrong: Omit<Wrong, 'value'>): void {
  expect(stderr).toMatch(/^shadowllm: [^\s:][^\n]* \[[A-Z0-9_]+\]\n$/)
  expect(stderr).toContain(`[${wrong.code}]`)
  expect(stderr).toContain(wrong.says)
  expect(stdout).toBe('')
  expect(code).toBe(wrong.exitCode)
}

async function isRefused(run: Run, one: Case, wrong: Wrong): Promise<void> {
  const args = argumentsOf(one, wrong)
  expectRefusal(await run(args), wrong)
}

async function namesTheNearOne(
  run: Run,
  words: readonly string[],
  right: string,
  code: string,
): Promise<void> {
  // A letter twice is no other flag's name.
  const typo = `${right.slice(0, -1)}${right.at(-2)}${right.slice(-1)}`
  const result = await run([...words, typo])
  expectRefusal(result, { exitCode: 2, code, says: typo })
  expect(result.stderr).toMatch(/\(did you mean (one of )?.*\?\)/)
  expect(result.stderr.replace(typo, '')).toMatch(new RegExp(`[ (]${right}[,?]`))
}

// ---- The doors -------------------------------------------------------------------------------------------------------

describe('the table', () => {
  test('has a row for every flag and argument that takes a value, and no other row', () => {
    const used = new Set<string>()
    const without: string[] = []
    for (const { name, command } of all) {
      const keys = [
        ...command.registeredArguments.map((argument) => `<${argument.name()}>`),
        ...command.options.filter((option) => takesValue(option) && !option.argChoices).map(flagOf),
      ]
      for (const key of keys) {
        const row = rowOf(name, key)
        if (row) used.add(row[0])
        else without.push(`${name} ${key}`)
      }
    }
    expect(without).toEqual([])
    expect(Object.keys(doors).filter((key) => !used.has(key))).toEqual([])
    expect(Object.keys(least).toSorted()).toEqual(all.map(({ name }) => name).toSorted())
    for (const [key, { wrong }] of Object.entries(doors)) expect(wrong.length, key).toBeGreaterThan(0)
  })

  test('finds a flag that has no row', async () => {
    const program = await makeProgram(
      quietSession(() => {}),
      '0',
      () => {},
    )
    const unknown = program.command('extra').option('--more <things>')
    expect(
      unknown.options.filter((option) => takesValue(option) && rowOf('extra', flagOf(option)) === null),
    ).toHaveLength(1)
  })
})

for (const named of all) {
  describe(`shadowllm ${named.name}`, () => {
    const words = named.name === '' ? [] : named.name.split(' ')

    test.each(casesOf(named).map((one) => [one.key, one] as const))(
      'refuses wrong values of %s',
      async (_, one) => {
        for (const wrong of one.door.wrong) {
          const about = argumentsOf(one, wrong).join(' ')
          await isRefused(runInside, one, wrong).catch((error: unknown) => {
            throw new Error(`shadowllm ${about}`, { cause: error })
          })
        }
      },
    )

    test('suggests the flag that was meant', async () => {
      // A flag that has another name now is not suggested.
      for (const { long } of named.command.options.filter(({ hidden }) => !hidden))
        await namesTheNearOne(runInside, [...words, ...least[named.name]], long as string, 'UNKNOWN_OPTION')
    })

    if (named.command.commands.length > 0)
      test('suggests the command that was meant', async () => {
        for (const one of named.command.commands)
          await namesTheNearOne(runInside, words, one.name(), 'UNKNOWN_COMMAND')
      })

    test('names missing and excess arguments', async () => {
      for (const option of named.command.options.filter(takesValue))
        expectRefusal(await runInside([...words, option.long as string]), {
          exitCode: 2,
          code: 'OPTION_MISSING_ARGUMENT',
          says: `: ${option.long}: expected a value`,
        })
      if (named.command.commands.length > 0) return
      const many = ['one', 'two', 'three', ...least[named.name]]
      expectRefusal(await runInside([...words, ...many]), {
        exitCode: 2,
        code: 'EXCESS_ARGUMENTS',
        says: 'expected',
      })
    })
  })
}

describe('--debug adds the origin of an error and changes nothing else', () => {
  const examples = all.flatMap((named) => casesOf(named).slice(-1))
  test.each(examples.map((one) => [`${one.name} ${one.key}`, one] as const))('%s', async (_, one) => {
    const [wrong] = one.door.wrong
    const args = argumentsOf(one, wrong)
    const { stdout, stderr, code } = await runInside([...args, '--debug'])
    expect(stderr).toMatch(/^shadowllm: [^\n]+ \[[A-Z0-9_]+\]\n\w*Error: [^]*\n {4}at /)
    expect([stdout, code]).toEqual(['', wrong.exitCode])
  })
})

describe('bugs planted in error handling are found', () => {
  const [door] = casesOf(all.find(({ name }) => name === 'generate') as Named).filter(({ key }) =>
    key.startsWith('--sparsity'),
  )
  const [wrong] = door.door.wrong
  const changed = (change: (result: CliResult) => Partial<CliResult>): Run => {
    return async (args) => {
      const result = await runInside(args)
      return { ...result, ...change(result) }
    }
  }
  const mutants: Record<string, Run> = {
    'a second line': changed(({ stderr }) => ({ stderr: `${stderr}see --help\n` })),
    'a stack': changed(({ stderr }) => ({ stderr: `${stderr}    at main.ts:1:1\n` })),
    'output before the refusal': changed(() => ({ stdout: 'loading\n' })),
    'another exit code': changed(() => ({ code: 1 })),
    'no code in brackets': changed(({ stderr }) => ({ stderr: stderr.replace(/ \[\w+\]/, '') })),
    'no subject': changed(({ stderr }) => ({ stderr: stderr.replace(' --sparsity', ' ') })),
    'a value that is taken': (args) =>
      runInside([...args.slice(0, -1), '--sparsity=0.5', '--max-tokens', '1']),
  }
  test.each(Object.entries(mutants))('%s', async (_, mutant) => {
    await expect(isRefused(mutant, door, wrong)).rejects.toThrow(/expected/)
  })

  test('a missing suggestion', async () => {
    const mutant = changed(({ stderr }) => ({ stderr: stderr.replace(/ \(did.*\)/, '') }))
    await expect(namesTheNearOne(mutant, ['generate', 'a'], '--sparsity', 'UNKNOWN_OPTION')).rejects.toThrow(
      'to match',
    )
  })
})
