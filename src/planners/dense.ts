/**
 * dense: no scores, no mask: everything is computed.
 */
import type { PlannerRecord } from './record.ts'

export const denseRecord: PlannerRecord<'dense'> = {
  name: 'dense',
  help: 'everything is computed',
  skips: 'nothing',
  by: null,
  needs: [],
  make: () => null,
}
