/**
 * embedding copies the row of each id, and its gradient goes back to that row.
 */
import * as laws from '../../src/verify/ops/embedding.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(laws)
