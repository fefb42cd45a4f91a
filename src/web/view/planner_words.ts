/**
 * Who decides, in words: in the list of settings, in the lead of the page and in its steps, so that the page describes the planner
 * that made its picture.
 */
import { neuronStudyPlanners, type StudyPlanner } from '../engine/study_types.ts'
import type { Trace, TraceSettings } from '../trace/trace.ts'
import { byId } from './dom.ts'
import { oracleWords } from './glossary.ts'

/** The planners in a list. */
export const plannerNames: Readonly<Record<StudyPlanner, string>> = {
  shadow: 'the predictor',
  'prompt-plainact': 'the prompt’s own loss',
  griffin: 'neurons the prompt uses most',
  coreinfer: 'neurons the prompt uses often',
  oracle: 'the oracle',
  random: 'random numbers',
  static: 'static scores',
  dense: 'nobody: skips nothing',
}

/** What decides in the place of a predictor. */
export const deciding: Readonly<Record<Exclude<StudyPlanner, 'shadow'>, string>> = {
  'prompt-plainact':
    'No predictor decides here: the prompt runs forward and back, and each unit is scored by how much the loss of the prompt needs it.',
  griffin:
    'No predictor decides here: the whole prompt is computed, and each neuron is scored by how strongly the prompt used it.',
  coreinfer:
    'No predictor decides here: the whole prompt is computed, and each neuron is scored by how many of its tokens used it.',
  oracle: `No predictor decides here. ${oracleWords}`,
  random: 'No predictor decides here: each unit gets a random number for its score.',
  static: 'No predictor decides here: each unit has its mean score over other texts, whatever the prompt.',
  dense: 'Nobody decides here: nothing is skipped.',
}

/**
 * Describes the planner of the picture, and says where there is no oracle to compare with.
 * @param isWriting whether the oracle's scores may still come
 * @param isAhead whether the text was generated under other switches than those that are shown
 */
export function showPlanner(
  { planner, decides }: Pick<TraceSettings, 'planner' | 'decides'>,
  trace: Trace | null,
  isWriting: boolean,
  isAhead: boolean,
): void {
  const isShadow = planner === 'shadow'
  const isAlways = decides === 'always' && planner !== 'dense'
  byId('how-predictor').hidden = !isShadow
  const other = byId('how-other')
  other.hidden = isShadow
  other.textContent = isShadow ? '' : deciding[planner]
  byId('how-best').textContent =
    planner === 'dense'
      ? 'Everything is computed'
      : neuronStudyPlanners.includes(planner)
        ? 'All heads and the best neurons are computed'
        : planner === 'random'
          ? 'Only the highest are computed'
          : 'Only the best are computed'
  byId('how-when').textContent = whenOf(planner, isAlways)
  byId('how-rest').hidden = planner === 'dense' || isAlways
  const byHand = trace?.switches.length ?? 0
  const hand = !isAhead
    ? `, ${byHand} switched by hand`
    : byHand === 0
      ? ', before your switches'
      : ', with your former switches'
  const told = isAhead || byHand > 0 ? hand : ''
  byId('sparse-title').textContent =
    planner !== 'dense'
      ? `With units skipped${told}`
      : `Nobody decides${byHand === 0 ? ': nothing skipped' : ''}${told}`
  const lacksOracle = trace !== null && !isWriting && trace.columns.length > 0 && trace.oracleScores === null
  byId<HTMLInputElement>('compare').disabled = lacksOracle || planner === 'dense'
  byId('compare-place').title =
    planner === 'dense'
      ? 'Nothing is skipped, so there is nothing to compare.'
      : lacksOracle
        ? 'There are no oracle scores: weights in eight or four bits have no gradients, and a text that was stopped is not scored.'
        : ''
}

/** What runs under the mask: planners that look at the whole prompt leave it dense. */
function whenOf(planner: StudyPlanner, isAlways: boolean): string {
  if (planner === 'dense') return 'for the prompt and for all words that follow'
  const follow = isAlways ? 'for the word that follows; each word decides anew' : 'for all words that follow'
  return neuronStudyPlanners.includes(planner)
    ? `${follow}; the prompt is dense`
    : `for the prompt too, and ${follow}`
}
