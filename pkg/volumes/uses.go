package volumes

import "maps"

// reserve notes that container id has the volume, and whether it has it
// mounted; false when there is no such volume.
func (c *catalog) reserve(id, name string, running bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.volumes[name]
	if e == nil {
		return false
	}
	e.refs[id] = true
	if running {
		e.users[id] = true
	}
	return true
}

// containers lists who has the volume.
func (c *catalog) containers(name string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.volumes[name]
	if e == nil {
		return nil
	}
	return sortedKeys(e.refs)
}

// forget takes a container off all volumes. It gives those that nobody has any more
// and that have no name, or that its creation made.
func (c *catalog) forget(id string) (left []*entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.volumes {
		if !e.refs[id] {
			continue
		}
		delete(e.refs, id)
		if (e.anonymous() || e.unborn == id) && len(e.refs) == 0 {
			left = append(left, e)
		}
	}
	return left
}

// born says that a container exists: what its creation made is not its alone.
func (c *catalog) born(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.volumes {
		if e.unborn == id {
			e.unborn = ""
		}
	}
}

// begin notes that a container mounts a volume; false when the volume was
// removed.
func (c *catalog) begin(id string, e *entry) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.volumes[e.meta.Name] != e {
		return false
	}
	e.users[id] = true
	return true
}

// end notes that a container no longer mounts it; busy says that others do.
func (c *catalog) end(id string, e *entry) (busy bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(e.users, id)
	return len(e.users) > 0
}

// busy says whether a container has the volume mounted.
func (c *catalog) busy(e *entry) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(e.users) > 0
}

// usedBy gives the volumes that a container has mounted.
func (c *catalog) usedBy(id string) []*entry {
	return c.choose(func(e *entry) bool { return e.users[id] })
}

// idle gives the volumes that nobody has mounted, and at boot the containers that
// run.
func (c *catalog) idle() (idle []*entry, running map[string]bool) {
	idle = c.choose(func(e *entry) bool { return len(e.users) == 0 })
	c.mu.Lock()
	defer c.mu.Unlock()
	return idle, maps.Clone(c.running)
}

// runs notes that a container has been found running.
func (c *catalog) runs(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running[id] = true
}
