/**
 * Every command that writes, stopped anywhere: the process dies at a file operation, or ctrl-C is pressed at a report of
 * progress. The exit code says so, and the same command again ends with the files of a run that was never stopped, and no
 * others.
 *
 * Tests src/cli/commands, src/io/staged_output.ts, src/platform/files.ts and src/platform/storage.ts. Each run of the
 * suite draws other places to stop at. The quick tier tries every second place of the commands that are not slow.
 */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { Random } from '../../src/tensor/random.ts'
import { runSeed } from '../harness/seed.ts'
import { isAtTier, isQuick } from '../harness/tier.ts'
import { endOwners, whileDying } from './dying_files.ts'
import { makeWriters, someText } from './output_writers.ts'
import { tinyFolder } from './run_cli.ts'
import { runInside, type Moment } from './run_inside.ts'
import { lasting, stoppableCommands, type Stoppable } from './signal_cases.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-crashes-'))
afterAll(() => rmSync(folder, { recursive: true }))

const text = join(folder, 'text.txt')
writeFileSync(text, someText)
mkdirSync(join(folder, 'inputs'))

/** What a file says, without what differs from run to run. */
function contentOf(path: string): string {
  if (statSync(path).isDirectory())
    return readdirSync(path)
      .toSorted()
      .map((name) => `${name}: ${contentOf(join(path, name))}`)
      .join('\n')
  const bytes = readFileSync(path)
  try {
    return JSON.stringify(lasting(JSON.parse(bytes.toString())))
  } catch {
    // A page says when it was made.
    return bytes.toString('latin1', 0, 9) === '<!doctype' ? 'a page' : bytes.toString('base64')
  }
}

/**
 * Commands that write one file or folder and keep nothing of a run that was stopped. One that died after its last step has
 * written all: it is told to replace that.
 */
const { 'perplexity --output': _, ...otherWriters } = makeWriters(text)
const writers = Object.entries({
  ...otherWriters,
  'convert to a folder': (output: string, again = false) => [
    'convert',
    tinyFolder,
    output.replace('.safetensors', ''),
    ...(again ? ['--force'] : []),
  ],
  convert: (output: string, again = false) => [
    'convert',
    `${tinyFolder}/model.safetensors`,
    output,
    ...(again ? ['--force'] : []),
  ],
}).map(([name, args]): Stoppable => ({
  name,
  args,
  resultOf: (place) => contentOf(existsSync(place) ? place : place.replace('.safetensors', '')),
  prints: 'report',
}))

/** Those whose results are files. The others have nothing that a stop could leave behind. */
const printing = new Set(['generate', 'verify', 'bench'])
/** Those that take longer than a second, and than five. */
const slow = new Set(['calibrate', 'learn', 'perplexity', 'eval', 'reproduce', 'parity run', 'pretrain'])
const slowest = new Set(['reproduce', 'pretrain'])
const all = [...(await stoppableCommands(join(folder, 'inputs'))), ...writers]
const commands = all.filter(({ name }) => !printing.has(name) && !(isQuick && slow.has(name)))

let places = 0
/** A folder of its own for the output of a run. */
function newPlace(): { readonly root: string; readonly output: string } {
  const root = join(folder, `run-${places++}`)
  mkdirSync(root)
  return { root, output: join(root, 'out.safetensors') }
}

const namesIn = (root: string): string[] =>
  readdirSync(root, { recursive: true, encoding: 'utf8' }).toSorted()

/** Places at which a command is stopped, evenly from the first to the last; where they begin is drawn. */
function stops(command: string, count: number): number[] {
  const step = Math.max(1, Math.ceil(count / (slowest.has(command) ? 3 : 6)))
  const first = new Random(runSeed()).below(step)
  const places = Array.from({ length: Math.ceil((count - first) / step) }, (_, i) => 1 + first + i * step)
  return slow.has(command) ? places : places.filter((_, i) => isAtTier(i, 2))
}

/** What a run that is not stopped leaves, and how much it does. */
interface Whole {
  readonly result: unknown
  readonly names: readonly string[]
  readonly operations: number
  readonly events: number
}

describe.each(commands)('$name', ({ name, args, resultOf }) => {
  /** A whole run: what it leaves, and how much it does. One at a time: operations are counted in the whole process. */
  const runWhole = async (): Promise<Whole> => {
    const { root, output } = newPlace()
    let events = 0
    const count = ({ update }: { readonly update: unknown }): boolean => {
      if (update !== null) events++
      return false
    }
    const { result, operations } = await whileDying(0, () =>
      runInside(args(output), { interruptWhen: count }),
    )
    expect(result).toMatchObject({ code: 0, stderr: '' })
    return { result: resultOf(output, result.stdout), names: namesIn(root), operations, events }
  }
  let known: Promise<Whole> | null = null
  const whole = (): Promise<Whole> => (known ??= runWhole())

  /** Starts the command again where it was stopped. */
  async function expectResumed({ root, output }: ReturnType<typeof newPlace>): Promise<void> {
    const { result, names } = await whole()
    const again = await runInside(args(output, true))
    expect(again).toMatchObject({ code: 0, stderr: '' })
    expect(resultOf(output, again.stdout)).toEqual(result)
    expect(namesIn(root)).toEqual(names)
    rmSync(root, { recursive: true })
  }

  test('dies at any file operation, and ends as if it had not', { timeout: 600_000 }, async () => {
    const { operations, result } = await whole()
    expect(operations).toBeGreaterThan(0)
    for (const at of stops(name, operations)) {
      const place = newPlace()
      await whileDying(at, () => runInside(args(place.output)))
      endOwners(place.root)
      // Under its name a file is whole.
      if (existsSync(place.output) && statSync(place.output).isFile())
        expect(resultOf(place.output, '')).toEqual(result)
      await expectResumed(place)
    }
  })

  test(
    'is interrupted at any report of progress, says so, and ends as if it had not',
    { timeout: 600_000 },
    async () => {
      const { events, result } = await whole()
      for (const at of stops(name, events)) {
        const place = newPlace()
        let seen = 0
        const { code, stdout } = await runInside(args(place.output), {
          interruptWhen: ({ update }) => update !== null && ++seen === at,
        })
        // Work that was complete is not interrupted any more.
        if (code === 0) expect(resultOf(place.output, stdout)).toEqual(result)
        else expect(code).toBe(130)
        await expectResumed(place)
      }
    },
  )
})

/** Options that change what commands write that go on where they were stopped. */
const changes: Readonly<Record<string, readonly (readonly string[])[]>> = {
  learn: [
    ['--rate', '0.1'],
    ['--seed', '1'],
    ['--sparsity', '0.3'],
    ['--prompt', '12'],
    ['--placement', '0'],
    ['--penalty', '0.5'],
    ['--steps', '5'],
    ['--scope', 'global'],
  ],
  calibrate: [
    ['--seed', '1'],
    ['--prompt', '12'],
    ['--continuation', '12'],
    ['--criteria', 'l2norm'],
    ['--keep-sequence'],
  ],
}

describe.each(Object.entries(changes).filter(() => !isQuick))(
  '%s that is started again with another option',
  (name, options) => {
    const { args, resultOf } = all.find((one) => one.name === name) as Stoppable
    test.each(options.map((one) => [one.join(' '), one] as const))(
      '%s: is refused, or writes what a new run with it writes',
      { timeout: 600_000 },
      async (_, more) => {
        const [plain, begun, fresh] = [newPlace(), newPlace(), newPlace()]
        let events = 0
        /** Interrupts at a report from amid a stage. */
        const interruptAt =
          (at: number) =>
          ({ update }: Moment): boolean =>
            update !== null && update.done > 0 && update.done < update.total && ++events === at
        await runInside(args(plain.output), { interruptWhen: interruptAt(0) })
        const last = events
        events = 0
        await runInside(args(begun.output), { interruptWhen: interruptAt(last) })
        // The last of two equal options counts.
        const again = await runInside([...args(begun.output), ...more])
        // A refusal names what is different.
        if (again.code !== 0) {
          expect(again.code).toBe(name === 'calibrate' ? 3 : 2)
          expect(again.stderr).toMatch(/: expected .*, as asked for, got|learnt with these settings/)
          return
        }
        expect(await runInside([...args(fresh.output), ...more])).toMatchObject({ code: 0 })
        expect(resultOf(begun.output, '')).toEqual(resultOf(fresh.output, ''))
        // The option changes something, or this would show nothing.
        expect(resultOf(plain.output, '')).not.toEqual(resultOf(fresh.output, ''))
      },
    )
  },
)
