/**
 * Rows are copied whole: what packing is made of.
 */
import * as laws from '../harness/laws/copy_rows.ts'
import { stateLaws } from '../harness/laws/law.ts'

stateLaws(laws)
