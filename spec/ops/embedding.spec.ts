/**
 * embedding copies the row of each id, and its gradient goes back to that row.
 */
import * as laws from '../harness/laws/embedding.ts'
import { stateLaws } from '../harness/laws/law.ts'

stateLaws(laws)
