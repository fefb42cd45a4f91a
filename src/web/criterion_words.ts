/**
 * The criterion of a planner's scores, in words.
 */
import type { StudyPlanner } from './engine/study_types.ts'
import type { Trace } from './trace/trace.ts'

/** The criterion behind the scores of a trace. */
export function criterionOf({ settings, ranks }: Pick<Trace, 'settings' | 'ranks'>): string {
  const { planner, criterion } = settings
  const words: Readonly<Record<StudyPlanner, string>> = {
    shadow: `${ranks ?? 'scores'}, predicted`,
    'prompt-plainact': `${criterion} of the prompt`,
    oracle: `${criterion} of the text`,
    random: 'chance',
    static: 'the mean of a calibration',
    dense: 'none',
  }
  return words[planner]
}
