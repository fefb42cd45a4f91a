/**
 * The worked examples of CONTRIBUTING.md: what an extension needs is in its section, and nothing else. Each is carried out on a copy of
 * the project, where its own tests and the laws of its kind pass, and commands know the new name. On a copy with all of them, types
 * check, the rules of the architecture hold, and the engine keeps its laws: these take longer than all else, and see every module,
 * storage and family.
 */
import { execFile } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, describe, expect, test } from 'vitest'
import { whyNoEmulator } from '../scripts/cuda/emulator.ts'
import { findToolchain } from '../scripts/rust/toolchain.ts'
import { whyMissing } from '../scripts/tool.ts'
import { importsOf } from './harness/architecture.ts'
import { parseModule, root } from './harness/syntax.ts'
import type { Tier } from './harness/tier.ts'
import { carryOut, sectionOf } from './harness/worked_example.ts'

const noCuda = (await whyMissing('nvcc')) ?? (await whyNoEmulator())
const contributing = readFileSync(join(root, 'CONTRIBUTING.md'), 'utf8')

/** Runs a program of a folder, and gives what it printed. @throws Error with that if it fails */
async function run(
  folder: string,
  args: readonly string[],
  tier: Tier = 'quick',
  more: NodeJS.ProcessEnv = {},
): Promise<string> {
  const env = { ...process.env, SHADOWLLM_TIER: tier, NO_COLOR: '1', FORCE_COLOR: undefined, ...more }
  const run = promisify(execFile)(process.execPath, ['scripts/node.mjs', ...args], { cwd: folder, env })
  const { stdout } = await run.catch((error: { stdout: string; stderr: string }) => {
    throw new Error(`${args.join(' ')}: ${error.stdout}${error.stderr}`)
  })
  return stdout
}

const command = 'src/cli/main.ts'

/**
 * Runs tests of a folder, those of a title if it is given: of each file or folder of them some pass, and none fails. One worker: each
 * loads what all share, and most files here take less than that.
 */
async function passes(
  folder: string,
  tests: string | readonly string[],
  titled?: string,
  tier?: Tier,
  env?: NodeJS.ProcessEnv,
): Promise<void> {
  const files = [tests].flat()
  const chosen = titled ? ['-t', titled] : []
  const args = ['node_modules/vitest/vitest.mjs', 'run', '--maxWorkers=1', ...files, ...chosen]
  const said = await run(folder, args, tier, env)
  expect(said).toMatch(/Tests\s+[1-9]\d* passed/)
  for (const file of files) expect(said).toMatch(new RegExp(`^ *✓ .*${file}`, 'm'))
}

const folders: string[] = []
afterEach(() => folders.splice(0).forEach((folder) => rmSync(folder, { recursive: true })))
function emptyFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'shadowllm-example-'))
  folders.push(folder)
  return folder
}

const counts = ['no', 'one', 'two', 'three', 'four', 'five', 'six', 'seven']
const prompt = 'The captain looked'
const few = ['--max-tokens', '3', '--json']

/** What there is to try of an extension once it is in a folder. */
interface Extension {
  /** What commands know it by. */
  readonly name: string
  /** What prints a text that names it. */
  readonly help?: readonly string[]
  /** Spec files with its laws, and the titles of those. */
  readonly laws: readonly (readonly [file: string, titled?: string, tier?: Tier])[]
  /** Commands that print a JSON object. */
  readonly commands?: readonly (readonly string[])[]
  /** What else there is. @param own runs a program of the folder */
  readonly more?: (folder: string, own: (...args: string[]) => Promise<string>) => Promise<void>
}

const masked = ['--sparsity', '0.5', '--json']
const extensions: Readonly<Record<string, Extension>> = {
  'an operation': {
    name: 'multiply',
    laws: [],
    async more(folder, own) {
      const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
        scripts: Record<string, string>
      }
      for (const step of scripts['build:wasm'].split(' && '))
        // The same bits as at the level of the file, in an eighth of the time.
        await own(...step.replace('node scripts/node.mjs ', '').split(' '), '--optimizeLevel', '0')
      const isCompiled = typeof (await findToolchain()) !== 'string'
      if (isCompiled) await own('scripts/build_rust.ts')
      if (noCuda === null) await own('scripts/build_cuda.ts')
      const others = `(relaxed${isCompiled ? '|rust' : ''}) > multiply`
      const ofAll = 'exempt|every gradient rule|longer arrays > multiply'
      await passes(
        folder,
        ['spec/ops/', 'spec/backends/others.spec.ts'],
        `${ofAll}|(reference|wasm) > .*multiply|${others}`,
      )
      const emulated = noCuda === null ? '|cuda-emulated > .*multiply' : ''
      await passes(folder, 'spec/ops/', `multiply .*is seen by|an? (mutant|page)${emulated}`, 'rest')
      const shown = ['--ops', 'multiply', '--small', '--quiet']
      expect(await own(command, 'parity', 'run', '--backend', 'wasm', ...shown)).toContain('passed: 1 op')
    },
  },
  'a storage': {
    name: 'e5m2',
    help: ['generate', '--help', 'all'],
    laws: [['spec/engine/storages.spec.ts'], ['spec/engine/weight_reader.spec.ts'], ['spec/cost/']],
    commands: [
      ['generate', prompt, '--storage', 'e5m2', ...few],
      ['inspect', 'fixtures/tiny-opt', '--storage', 'e5m2', '--texts', '1', '--json'],
    ],
  },
  'a family of models': {
    name: 'stablelm',
    laws: [['spec/engine/config.spec.ts'], ['spec/bench/op_times.spec.ts']],
    async more(folder, own) {
      const [from, to] = [join(folder, 'untrained'), join(folder, 'trained')]
      mkdirSync(from)
      const sizes = { hidden_size: 16, num_hidden_layers: 2, num_attention_heads: 2, intermediate_size: 24 }
      const ends = { vocab_size: 700, max_position_embeddings: 32, eos_token_id: 0, bos_token_id: 0 }
      const fields = { model_type: 'stablelm', partial_rotary_factor: 1, ...sizes, ...ends }
      writeFileSync(join(from, 'config.json'), JSON.stringify(fields))
      cpSync(join(root, 'fixtures/tokenizers/smollm.tokenizer.json'), join(from, 'tokenizer.json'))
      const steps = ['--steps', '2', '--batch', '2', '--length', '16', '--warmup', '1']
      await own(command, 'pretrain', '--config', from, '--text', 'spec/README.md', '-o', to, ...steps)
      expect(await own(command, 'inspect', to)).toContain('StableLM: 2 layers of width 16')
      const text = await own(command, 'generate', '-m', to, prompt, '--planner', 'griffin', ...masked)
      expect(JSON.parse(text)).toBeTypeOf('object')
    },
  },
  'a backend': {
    name: 'untyped',
    help: ['generate', '--help', 'all'],
    laws: [
      ['spec/backends/others.spec.ts', 'untyped'],
      ['spec/backends/checked_ops.spec.ts', 'untyped', 'rest'],
    ],
    commands: [
      ['generate', prompt, '--backend', 'untyped', ...few],
      ['parity', 'run', '--backend', 'untyped', '--ops', 'linear', '--small', '--json'],
    ],
  },
  'a planner': {
    name: 'prompt-size',
    help: ['planners'],
    laws: [['spec/planners/planners.spec.ts', 'by name']],
    commands: [['generate', prompt, '--planner', 'prompt-size', ...masked]],
  },
  'a criterion': {
    name: 'l1norm',
    help: ['masks', '--help', 'all'],
    laws: [['spec/criteria/criteria.spec.ts', 'l1norm']],
    commands: [['masks', prompt, '--planner', 'prompt-plainact', '--criterion', 'l1norm', ...masked]],
  },
}

/** What a module of src or spec imports that is not in its folder. */
function importsNowhere(folder: string, path: string): string[] {
  if (!/^(src|spec)\/.*\.ts$/.test(path)) return []
  const module = parseModule({ path, text: readFileSync(join(folder, path), 'utf8') })
  return importsOf(module).flatMap(({ target }) =>
    target === null || existsSync(join(folder, target)) ? [] : [target],
  )
}

const timeout = 900_000

test(
  'all worked examples together: types check, the rules of the architecture hold, and so do the laws of the engine',
  { timeout },
  async () => {
    const folder = emptyFolder()
    const sections = Object.keys(extensions).map((what) => sectionOf(contributing, `Adding ${what}`))
    const { added } = carryOut(sections.join('\n'), folder)
    expect(added.length).toBeGreaterThan(Object.keys(extensions).length)
    // Threads of the compiler check much of the same twice.
    const check = ['node_modules/typescript/bin/tsc', '--project', '.', '--singleThreaded']
    expect(await run(folder, check)).toBe('')
    await passes(folder, 'spec/architecture.spec.ts')
    // Each law draws storages and families anew, so that a fifth of its cases has those of the examples many times over.
    await passes(folder, 'spec/engine/laws.spec.ts', '> wasm >', 'quick', { SHADOWLLM_RUNS: '0.2' })
  },
)

describe('a section is all that is needed for', () => {
  test.each(Object.entries(extensions))('%s', { timeout }, async (what, extension) => {
    const { name, help, laws, commands = [], more } = extension
    const folder = emptyFolder()
    const section = sectionOf(contributing, `Adding ${what}`)
    const { added, changed } = carryOut(section, folder)
    expect(section).toMatch(
      new RegExp(
        `^\\s*${what} takes ${counts[added.length]} new files and lines in ${counts[changed.length]} others?\\. The example is \`${name}\``,
        'i',
      ),
    )
    for (const file of added) expect(importsNowhere(folder, file)).toEqual([])
    // One run of whatever is judged whole: a run loads as many modules as it judges.
    const whole = laws.filter(([, ...chosen]) => chosen.length === 0).map(([file]) => file)
    const own = added.filter((file) => file.endsWith('.spec.ts'))
    if (own.length + whole.length > 0) await passes(folder, [...own, ...whole])
    for (const [file, titled, tier] of laws) if (titled) await passes(folder, file, titled, tier)
    if (help) expect(await run(folder, [command, ...help])).toContain(name)
    for (const args of commands)
      expect(JSON.parse(await run(folder, [command, ...args]))).toBeTypeOf('object')
    await more?.(folder, (...args) => run(folder, args))
  })

  if (noCuda !== null)
    test.skip(`the CUDA kernel of an operation, on the emulator (skipped: ${noCuda})`, () => {})

  test('no planner without its line in the list, and no example whose lines are not where they were', async () => {
    const section = sectionOf(contributing, 'Adding a planner')
    const folder = emptyFolder()
    carryOut(section.replace(/^ *\+ {2}promptSizeRecord,\n/m, ''), folder)
    await expect(run(folder, [command, 'masks', 'a', '--planner', 'prompt-size'])).rejects.toThrow(
      'prompt-size',
    )
    const moved = section.replace('import { promptPlainactRecord }', 'import { other }')
    expect(() => carryOut(moved, emptyFolder())).toThrow('expected these lines once')
  })
})
