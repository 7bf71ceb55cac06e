package files

// AwaitPacked returns when no rotated file is being compressed.
func (w *Writer) AwaitPacked() { w.pack.wait() }

// Lost is how many entries were dropped since the last that was written.
func (w *Writer) Lost() int { return w.lost }
