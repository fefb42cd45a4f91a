/**
 * Who decides, in words: in the list of settings, in the lead of the page and in its steps, so that the page describes the planner
 * that made its picture.
 */
import { neuronStudyPlanners, type StudyPlanner } from '../engine/study_types.ts'
import type { Trace } from '../trace/trace.ts'
import { byId } from './dom.ts'

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
  oracle:
    'No predictor decides here: the oracle scores each unit on the text that the dense model writes, which is not known before it is written.',
  random: 'No predictor decides here: each unit gets a random number for its score.',
  static: 'No predictor decides here: each unit has its mean score over other texts, whatever the prompt.',
  dense: 'Nobody decides here: nothing is skipped.',
}

/**
 * Describes the planner of the picture, and says where there is no oracle to compare with.
 * @param isWriting whether the oracle's scores may still come
 */
export function showPlanner(planner: StudyPlanner, trace: Trace | null, isWriting: boolean): void {
  const isShadow = planner === 'shadow'
  byId('how-predictor').hidden = !isShadow
  byId('lead-model').textContent = isShadow
    ? 'The model below runs in your browser.'
    : 'The picture below is by another planner.'
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
  byId('how-rest').hidden = planner === 'dense'
  const lacksOracle = trace !== null && !isWriting && trace.columns.length > 0 && trace.oracleScores === null
  byId<HTMLInputElement>('compare').disabled = lacksOracle
  byId('compare-place').title = lacksOracle
    ? 'There are no oracle scores: weights in eight or four bits have no gradients, and a text that was stopped is not scored.'
    : ''
}
