/**
 * A piece of work that returns what was finished says whether that is all: interrupted at any report of progress, a report is
 * complete only if it has everything that a whole run has, times included.
 *
 * A piece of work is one entry of `works`. Tests src/experiments/reproduce.ts, src/evaluation/text_perplexity.ts and
 * src/evaluation/tasks/run.ts.
 */
import { describe, expect, test } from 'vitest'
import { textOfDocuments } from '../../src/data/texts.ts'
import { runTasks } from '../../src/evaluation/tasks/run.ts'
import { settingsBySize } from '../../src/evaluation/settings.ts'
import { textPerplexity } from '../../src/evaluation/text_perplexity.ts'
import { reproduce } from '../../src/experiments/reproduce.ts'
import { lasting } from '../cli/signal_cases.ts'
import { someMethods, somePages, someTasks, useSmallModel } from '../evaluation/small_model.ts'
import { provenance } from '../experiments/report/report_cases.ts'
import { isAtTier } from '../harness/tier.ts'

const small = useSmallModel('reference')

/** Does a piece of work, and calls `onProgress` at each report. */
type Work = (onProgress: () => void, signal: AbortSignal) => Promise<{ readonly complete: boolean }>

const works: Readonly<Record<string, Work>> = {
  'the main experiment': (onProgress, signal) => {
    const settings = {
      ...settingsBySize.quick,
      prompt: 12,
      continuation: 10,
      calibration: 6,
      evaluation: 3,
      sparsities: [0.5],
      training: { epochs: 3, batch: 4, rate: 1e-2, decay: 0, heldOut: 0.3, patience: 5 },
      decode: { prompt: 6, tokens: 3, rounds: 2 },
    }
    const planners = ['static', 'shadow', 'oracle'] as const
    const options = {
      ...small.source(),
      store: small.newStore(),
      documents: somePages(10),
      settings,
      planners,
    }
    return reproduce(options, onProgress, signal)
  },
  'perplexity of a text': (onProgress, signal) => {
    const text = textOfDocuments('pages', somePages(3))
    const source = small.source()
    const options = { ...source, text, methods: someMethods(source.model), prompt: 6, windows: 4 }
    return textPerplexity(options, onProgress, signal)
  },
  tasks: (onProgress, signal) => {
    const { model } = small.source()
    return runTasks(
      { model, tasks: someTasks(), methods: someMethods(model), seed: 1, config: {}, provenance },
      onProgress,
      signal,
    )
  },
}

/** @throws Error for a report that is complete and lacks something that a whole one has */
async function expectHonest(work: Work): Promise<void> {
  const interruptedAt = async (at: number): Promise<{ report: { complete: boolean }; events: number }> => {
    const interrupt = new AbortController()
    let events = 0
    const report = await work(() => void (++events === at && interrupt.abort()), interrupt.signal)
    return { report, events }
  }
  const { report: whole, events } = await interruptedAt(0)
  expect(whole.complete).toBe(true)
  let stopped = 0
  for (let at = 1; at <= events; at++) {
    if (!isAtTier(at, 5) && at < events - 8) continue
    const { report } = await interruptedAt(at)
    if (report.complete) expect(lasting(report), `interrupted at report ${at}`).toEqual(lasting(whole))
    else stopped++
  }
  expect(stopped).toBeGreaterThan(0)
}

describe('interrupted at any report of progress, complete only with everything:', () => {
  test.each(Object.keys(works))('%s', (name) => expectHonest(works[name]))

  test.each(Object.keys(works))('a report that is complete too early is found: %s', async (name) => {
    const early: Work = async (onProgress, signal) => {
      const report = await works[name](onProgress, signal)
      return { ...report, complete: true }
    }
    await expect(expectHonest(early)).rejects.toThrow('interrupted at report')
  })
})
