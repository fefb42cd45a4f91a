/**
 * What is skipped if flags do not say it all, and what of a predictor that no planner reads.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Command } from 'commander'
import { addPlanFlags, loadPlanFiles, type PlanFlags } from '../../src/cli/planner_flags.ts'
import type { Session } from '../../src/cli/session.ts'
import { generationOption } from '../../src/library/planner_options.ts'
import type { ShadowModel } from '../../src/library/shadow_model.ts'
import { runInside } from './run_inside.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-planner-flags-'))
afterAll(() => rmSync(folder, { recursive: true }))
const text = join(folder, 'page.txt')
const predictors = { shadow: join(folder, 'shadow'), dejavu: join(folder, 'dejavu') }

beforeAll(async () => {
  writeFileSync(text, 'The captain looked at the sea, and the men looked at him. '.repeat(30))
  const traces = join(folder, 'traces')
  const sizes = ['--limit', '6', '--prompt', '8', '--continuation', '4', '--threads', '1']
  expect(await runInside(['calibrate', '-o', traces, '--text', text, ...sizes])).toMatchObject({ code: 0 })
  for (const [kind, output] of Object.entries(predictors)) {
    const small = ['--epochs', '1', '--width', '2', '--head-width', '2']
    const trained = await runInside([
      'train',
      '--calibration',
      traces,
      '-o',
      output,
      '--kind',
      kind,
      ...small,
    ])
    expect(trained).toMatchObject({ code: 0, stderr: '' })
  }
})

const measuring = ['--text', text, '--by', 'stream', '--context', '32', '--windows', '1', '--json']

describe('a flag of when a mask is decided, where nothing is skipped', () => {
  const write = ['generate', 'a', '--max-tokens', '2', '--json']
  const refused = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await runInside(args)
    expect([code, stdout], args.join(' ')).toEqual([2, ''])
    return stderr
  }
  const says = (flag: string, got: string): string =>
    `shadowllm: ${flag}: expected a --planner or a --sparsity beside it, because dense skips nothing, got ${got} [FLAGS]\n`

  test('is refused by generate, perplexity and eval', async () => {
    for (const flags of [
      ['--every', '4'],
      ['--check', '4'],
      ['--prefill', 'dense'],
      ['--paper-compatible'],
    ]) {
      expect(await refused(...write, ...flags)).toBe(says(flags[0], 'neither'))
      expect(await refused(...write, ...flags, '--planner', 'dense')).toBe(says(flags[0], 'dense'))
    }
    expect(await refused('perplexity', ...measuring, '--every', '4')).toBe(says('--every', 'neither'))
    expect(await refused('eval', '--tasks', 'continuation', '--text', text, '--leaky')).toBe(
      says('--leaky', 'neither'),
    )
  })

  test('is taken where a share or a conversation brings a planner', async () => {
    expect((await runInside([...write, '--sparsity', '0.5', '--check', '2'])).code).toBe(0)
    const path = join(folder, 'none.session')
    const chat = await runInside([...write, '--chat', '--session', path, '--check', '2'])
    expect(chat.stderr).toContain('[CHAT_TEMPLATE_MISSING]')
    expect((await runInside(['chat', '--check', '2'])).stderr).toContain('[CHAT_TEMPLATE_MISSING]')
  })
})

describe('perplexity: a sparsity without a planner is that of shadow', () => {
  test.each(['--sparsity', '--head-sparsity', '--neuron-sparsity'])('in perplexity by %s', async (flag) => {
    const { code, stdout } = await runInside(['perplexity', ...measuring, flag, '0.5'])
    expect(code).toBe(0)
    const { rows } = JSON.parse(stdout) as { rows: { planner: string }[] }
    expect(rows.map(({ planner }) => planner)).toEqual(['dense', 'shadow'])
  })

  test('and nothing is skipped without either, nor with planners that are named', async () => {
    const rowsOf = async (...flags: string[]): Promise<string[]> => {
      const { stdout } = await runInside(['perplexity', ...measuring, ...flags])
      return (JSON.parse(stdout) as { rows: { planner: string }[] }).rows.map(({ planner }) => planner)
    }
    expect(await rowsOf()).toEqual(['dense'])
    expect(await rowsOf('--planner', 'random', '--sparsity', '0.5')).toEqual(['dense', 'random'])
  })
})

describe('a share of what dense planners skip is refused', () => {
  test.each([
    ['generate', 'a', '--planner', 'dense', '--sparsity', '0.5'],
    ['masks', 'a', '--planner', 'dense', '--head-sparsity', '0.5'],
    ['chat', '--planner', 'dense', '--neuron-sparsity', '0.5'],
    ['serve', '--planner', 'dense', '--sparsity', '0.5'],
    ['perplexity', ...measuring, '--planner', 'dense', '--sparsity', '0,0.5'],
  ])('by %s', async (...args) => {
    const { code, stdout, stderr } = await runInside(args)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain('planner dense: expected no sparsity, because it skips nothing, got 0')
  })

  test('but not a share of nothing, nor one that another planner skips', async () => {
    expect(
      (await runInside(['generate', 'a', '--planner', 'dense', '--sparsity', '0', '--max-tokens', '1'])).code,
    ).toBe(0)
    const both = ['--planner', 'dense,random', '--sparsity', '0.5']
    expect((await runInside(['perplexity', ...measuring, ...both])).code).toBe(0)
  })
})

describe('a planner that flags alone rule out is refused in one line, before the model is read', () => {
  // Were the model read first, its absence would be told.
  const none = ['-m', join(folder, 'no model')]
  test.each<[string, number, string, string[]]>([
    ['a share of heads of griffin', 2, 'SPARSITY', ['--planner', 'griffin', '--head-sparsity', '0.2']],
    ['griffin that decides again', 2, 'EVERY', ['--planner', 'griffin', '--every', '8']],
    ['a masked prompt of griffin', 2, 'PREFILL', ['--planner', 'griffin', '--prefill', 'masked']],
    ['a compensation of teal', 2, 'COMPENSATE', ['--planner', 'teal', '--compensate', 'mean']],
    ['a ridge without least squares', 2, 'COMPENSATE', ['--planner', 'random', '--ridge', '1']],
    ['static without a calibration', 4, 'CALIBRATION_MISSING', ['--planner', 'static']],
    ['dejavu without a predictor', 4, 'PREDICTOR_MISSING', ['--planner', 'dejavu', '--sparsity', '0.5']],
    ['a share of dense', 2, 'SPARSITY', ['--planner', 'dense', '--sparsity', '0.3']],
  ])('%s', async (_, code, name, flags) => {
    for (const command of [['generate', 'a'], ['chat']]) {
      const result = await runInside([...command, ...none, ...flags])
      expect([result.code, result.stdout]).toEqual([code, ''])
      expect(result.stderr).toMatch(new RegExp(`^shadowllm: planner [^\\n]+ \\[${name}\\]\\n$`))
    }
  })

  test('but not what files may serve', async () => {
    const { dejavu } = predictors
    for (const flags of [
      ['--planner', 'static', '--calibration', 'x'],
      ['--planner', 'static', '--criterion', 'obs', '--moments', 'x'],
      ['--planner', 'dejavu', '--predictor', dejavu],
      ['--planner', 'shadow'],
      ['--planner', 'shadow', '--every', 'auto'],
    ])
      expect((await runInside(['generate', 'a', ...none, ...flags])).stderr).toContain('[MODEL_MISSING]')
  })
})

describe('a predictor of the wrong kind is refused', () => {
  const { shadow, dejavu } = predictors
  test.each<[string, string[], string]>([
    [
      'by a planner of another kind',
      ['generate', 'a', '--planner', 'shadow', '--predictor', dejavu],
      'expected a predictor of kind shadow, got one of kind dejavu',
    ],
    [
      'by a planner that reads none',
      ['masks', 'a', '--planner', 'random', '--predictor', shadow],
      'expected --planner shadow beside it, got random',
    ],
    [
      'without a planner',
      ['generate', 'a', '--predictor', dejavu],
      'expected --planner dejavu beside it, got dense',
    ],
    [
      'beside one of the right kind',
      ['generate', 'a', '--planner', 'dejavu', '--predictor', dejavu, '--predictor', shadow],
      'expected a predictor of kind dejavu, got one of kind shadow',
    ],
    [
      'by several planners',
      ['perplexity', ...measuring, '--planner', 'shadow,random', '--predictor', dejavu],
      'expected a predictor of kind shadow, got one of kind dejavu',
    ],
    [
      'by a conversation that begins with another kind',
      ['chat', '--planner', 'shadow', '--predictor', dejavu],
      'expected a predictor of kind shadow, got one of kind dejavu',
    ],
  ])('%s', async (_, args, words) => {
    const { code, stdout, stderr } = await runInside(args)
    expect(stderr).toContain(`${words} [PREDICTOR_KIND]`)
    expect([code, stdout]).toEqual([2, ''])
  })

  test('and one for each planner is read', async () => {
    const both = ['--predictor', shadow, '--predictor', dejavu]
    const args = ['perplexity', ...measuring, '--planner', 'shadow,dejavu', ...both]
    expect(await runInside(args)).toMatchObject({ code: 0, stderr: '' })
    for (const kind of ['shadow', 'dejavu'] as const) {
      const one = ['--planner', kind, '--predictor', predictors[kind], '--max-tokens', '2', '-q']
      expect(await runInside(['generate', 'a', ...one])).toMatchObject({ code: 0, stderr: '' })
    }
  })

  test('but not by a conversation that may change its planner', async () => {
    const { stderr } = await runInside(['chat', '--predictor', dejavu])
    expect(stderr).toContain('[CHAT_TEMPLATE_MISSING]')
  })
})

test('`--released` is another name of `--paper-compatible`', async () => {
  const decide = ['masks', 'The sea', '--planner', 'random', '--sparsity', '0.7', '--json']
  const former = await runInside([...decide, '--released'])
  expect(former).toMatchObject({ code: 0, stdout: expect.stringContaining('"paperCompatible": true') })
  expect(former).toEqual(await runInside([...decide, '--paper-compatible']))
})

describe('a share alone', () => {
  const noted = async (changed: Partial<PlanFlags>): Promise<{ planner: string; said: string }> => {
    let said = ''
    const session = { note: async (line: string) => void (said += line) } as unknown as Session
    const flags = { planner: 'shadow', criterion: 'plainact', predictor: [], moments: [], sparsity: 0.5 }
    const asked = { ...flags, isPlannerImplied: true, ...changed } as unknown as PlanFlags
    const given = { usualPlanner: async () => 'griffin', config: { gated: false }, weightsFile: 'nothing' }
    const opt = given as unknown as ShadowModel
    return { planner: (await loadPlanFiles(session, opt, asked)).planner, said }
  }

  test('is that of the planner which the model means, and a line says so', async () => {
    const said = 'planner griffin, as none was named; it skips neurons alone'
    expect(await noted({})).toEqual({ planner: 'griffin', said })
    for (const silent of [{ json: true }, { quiet: true }])
      expect(await noted(silent)).toEqual({ planner: 'griffin', said: '' })
    const dense = { isPlannerImplied: false, planner: 'dense' } as const
    expect(await noted(dense)).toEqual({ planner: 'dense', said: '' })
  })

  test('commands know a planner that is named from one that a share means', async () => {
    const impliedBy = async (...args: string[]): Promise<unknown> => {
      const command = addPlanFlags(new Command(), generationOption, 'dense').action(() => {})
      await command.parseAsync(args, { from: 'user' })
      return command.getOptionValue('isPlannerImplied')
    }
    expect(await impliedBy('--sparsity', '0.5')).toBe(true)
    expect(await impliedBy('--neuron-sparsity', '0.5')).toBe(true)
    expect(await impliedBy()).toBe(false)
    expect(await impliedBy('--planner', 'shadow', '--sparsity', '0.5')).toBe(false)
  })
})
