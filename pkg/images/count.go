package images

// Count says how many images there are, whatever number of names they have.
func (s *Store) Count() int { return len(s.index.view().targets) }
